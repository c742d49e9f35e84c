// SPDX-License-Identifier: Apache-2.0

/**
 * The error codes that the cloud answers with, and their HTTP status. Statuses are those of the error tables in the ECS API
 * reference (AssignPrivateIpAddresses, UnassignPrivateIpAddresses, AssignIpv6Addresses, DeleteNetworkInterface and the
 * client-side common errors); the ones that no table lists are marked in DIFFERENCES.md.
 */
export const statusOf = {
  MissingParameter: 400,
  InvalidParameter: 400,
  UnsupportedParameter: 400,
  'InvalidRegionId.NotFound': 404,
  'InvalidAction.NotFound': 404,
  InvalidVersion: 400,
  'InvalidAccessKeyId.NotFound': 404,
  IncompleteSignature: 400,
  SignatureDoesNotMatch: 400,
  SignatureNonceUsed: 400,
  'InvalidTimeStamp.Expired': 400,
  'InvalidTimeStamp.Format': 400,
  MissingSecurityToken: 400,
  'InvalidSecurityToken.Malformed': 400,
  'InvalidSecurityToken.Expired': 400,
  'InvalidSecurityToken.MismatchWithAccessKey': 400,
  'Forbidden.RAM': 403,
  'Throttling.User': 400,
  'Throttling.Api': 400,
  InternalError: 500,
  ServiceUnavailable: 503,
  IdempotentParameterMismatch: 400,
  'Operation.Conflict': 403,
  'InvalidEniId.NotFound': 404,
  'InvalidEcsId.NotFound': 404,
  'InvalidInstanceId.NotFound': 404,
  'InvalidVSwitchId.NotFound': 404,
  'InvalidSecurityGroupId.NotFound': 404,
  'InvalidResourceId.NotFound': 404,
  'InvalidOperation.InvalidEniState': 400,
  'InvalidOperation.InvalidEcsState': 400,
  'InvalidOperation.InvalidEniType': 403,
  'InvalidOperation.DetachPrimaryEniNotAllowed': 400,
  'InvalidOperation.AvailabilityZoneMismatch': 403,
  'InvalidOperation.VpcMismatch': 403,
  'InvalidOperation.Ipv4CountExceeded': 403,
  'InvalidOperation.Ipv6CountExceeded': 403,
  'InvalidOperation.Ipv6NotSupport': 403,
  'InvalidVSwitch.Ipv6NotTurnOn': 403,
  'InvalidVSwitchId.IpNotEnough': 403,
  'InvalidVSwitchId.IpInvalid': 403,
  'InvalidIp.IpAssigned': 403,
  'InvalidIp.IpUnassigned': 403,
  'InvalidIp.IpRepeated': 403,
  EniPerInstanceLimitExceeded: 403,
  MaxEniCountExceeded: 403,
  SecurityGroupInstanceLimitExceed: 403,
  QuotaExceeded: 400,
} as const satisfies { readonly [code: string]: number }

export type Code = keyof typeof statusOf

/** An answer of the cloud that is an error. `code` may carry a field, as in InvalidParameter.VSwitchId. */
export class CloudFault extends Error {
  readonly code: string
  readonly status: number

  constructor(code: string, status: number, message: string) {
    super(message)
    this.name = 'CloudFault'
    this.code = code
    this.status = status
  }
}

export function fault(code: Code, message: string): CloudFault {
  return new CloudFault(code, statusOf[code], message)
}

export function missing(field: string): CloudFault {
  return fault('MissingParameter', `The input parameter "${field}" that is mandatory for processing this request is not supplied.`)
}

/** A value that the field cannot have. */
export function invalid(field: string, why: string): CloudFault {
  return new CloudFault(`InvalidParameter.${field}`, 400, `The specified parameter ${field} is not valid: ${why}.`)
}
