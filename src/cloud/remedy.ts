// SPDX-License-Identifier: Apache-2.0

/** Ways out of refusals that no repetition ends: what a person has to correct, and where. First match wins. */
const remedies: readonly (readonly [RegExp, string])[] = [
  [/^InvalidTimeStamp\./, "the clock of this machine and the cloud's differ by more than 15 minutes: correct the clock (NTP)"],
  [/^InvalidAccessKeyId(\.|$)/, "correct accessKey in ctrl-secret.yaml of the controlplane's Secret, or enable the key"],
  [
    /^(SignatureDoesNotMatch|IncompleteSignature|InvalidAccessKeySecret)(\.|$)/,
    "correct accessSecret in ctrl-secret.yaml of the controlplane's Secret: it does not belong to the access key",
  ],
  [
    /^(InvalidSecurityToken|MissingSecurityToken)(\.|$)/,
    'the temporary credentials are invalid or expired: check the RAM role of the instance',
  ],
  [/^(Forbidden|NoPermission)(\.|$)/, 'allow ecs:{action} (vpc:{action} for vSwitches) to the RAM user or role whose credentials are used'],
  [/^InvalidSecurityGroupId\./, 'correct security_group or security_groups in eni_conf'],
  [/^(InvalidEcsId|InvalidInstanceId)\./, 'the instance does not exist any more: delete its Kubernetes node'],
  [/^InvalidVSwitch\.Ipv6NotTurnOn/, 'turn IPv6 on for the vSwitch, or list another one in eni_conf'],
  [/^InvalidOperation\.Ipv6NotSupport/, 'use an instance type with IPv6 addresses, or ip_stack ipv4 in eni_conf'],
  [/^SecurityGroupInstanceLimitExceed/, 'the security group is full: use another one in eni_conf'],
]

/** What to do about an error code of an action; undefined when there is nothing to say, or the code names the way out itself. */
export function remedyOf(action: string, code: string): string | undefined {
  return remedies.find(([pattern]) => pattern.test(code))?.[1].replaceAll('{action}', action)
}
