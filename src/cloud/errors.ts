// SPDX-License-Identifier: Apache-2.0
import type { CloudErrorClass } from '#cloud/port.ts'
import { remedyOf } from '#cloud/remedy.ts'
import { AppError } from '#lib/errors.ts'

/** A refused or failed cloud call. `code` is the cloud's own, or NetworkError, Timeout, BadReply for what never got a proper answer; the message ends with the way out, and leaves the request id to logs, so that the same refusal is the same text. */
export class CloudError extends AppError<string> {
  readonly class: CloudErrorClass
  readonly action: string
  readonly requestId: string
  /** An earlier try of the same call ended without a verdict. */
  readonly afterDoubt: boolean

  constructor(
    action: string,
    code: string,
    detail: string,
    options: { requestId?: string; httpStatus?: number; afterDoubt?: boolean; class?: CloudErrorClass; cause?: unknown } = {},
  ) {
    const remedy = remedyOf(action, code)
    super(code, `${action}: ${code}: ${detail}${remedy === undefined ? '' : `; ${remedy}`}`, options)
    this.name = 'CloudError'
    this.class = options.class ?? classify(code, options.httpStatus)
    this.action = action
    this.requestId = options.requestId ?? ''
    this.afterDoubt = options.afterDoubt ?? false
  }

  /**
   * Whether the call may have taken effect, or may still take effect, although it failed: no answer, or an internal error of
   * the cloud, in this try or an earlier one. Every other failure is an answer: the cloud looked at the call and did nothing.
   */
  get mayHaveHappened(): boolean {
    return this.afterDoubt || (this.class === 'retry' && !refusedWhileBusy.has(this.code))
  }
}

/** Another operation holds the object: refused before anything was done. */
const refusedWhileBusy = new Set(['Operation.Conflict', 'OperationConflict', 'LastTokenProcessing'])

/** The codes that Terway's clients recognise, and their neighbours in the ECS and VPC error centre. */
const exact: Readonly<Record<string, CloudErrorClass>> = {
  NetworkError: 'retry',
  Timeout: 'retry',
  BadReply: 'retry',
  InternalError: 'retry',
  ServiceUnavailable: 'retry',
  UnknownError: 'retry',
  'Operation.Conflict': 'retry',
  OperationConflict: 'retry',
  LastTokenProcessing: 'retry',
  Throttling: 'throttled',
  RequestLimitExceeded: 'throttled',
  FlowControl: 'throttled',
  'InvalidVSwitchId.IpNotEnough': 'no-addresses',
  'QuotaExceeded.PrivateIpAddress': 'no-addresses',
  EniPerInstanceLimitExceeded: 'quota',
  SecurityGroupInstanceLimitExceed: 'quota',
  'InvalidOperation.Ipv4CountExceeded': 'quota',
  'InvalidOperation.Ipv6CountExceeded': 'quota',
  'InvalidOperation.Ipv6NotSupport': 'quota',
  'InvalidVSwitch.Ipv6NotTurnOn': 'quota',
  'InvalidEniId.NotFound': 'gone',
  'InvalidEcsId.NotFound': 'gone',
  'InvalidInstanceId.NotFound': 'gone',
  'InvalidIp.IpUnassigned': 'gone',
  'InvalidAllocationId.NotFound': 'gone',
  'InvalidVSwitchId.NotFound': 'gone',
  IdempotentFailed: 'conflict',
  IdempotentParameterMismatch: 'conflict',
  'InvalidOperation.InvalidEniState': 'conflict',
  'InvalidOperation.InvalidEcsState': 'conflict',
  'InvalidOperation.DetachPrimaryEniNotAllowed': 'bug',
  SignatureDoesNotMatch: 'denied',
  IncompleteSignature: 'denied',
  NoPermission: 'denied',
}

/** First match wins, after `exact`. */
const families: readonly (readonly [RegExp, CloudErrorClass])[] = [
  [/^Throttling\./, 'throttled'],
  [/^(QuotaExceed|QuotaExceeded|.*LimitExceed(ed)?)(\.|$)/, 'quota'],
  [/^(Forbidden|InvalidAccessKeyId|InvalidSecurityToken|MissingSecurityToken|InvalidAccessKeySecret|NoPermission)(\.|$)/, 'denied'],
  [/\.NotFound$/, 'gone'],
  [/^InternalError\./, 'retry'],
]

/** What may be done about an API error code. An unknown code with HTTP status 429 or 5xx is throttled or retried; any other is a bug of the caller. */
export function classify(code: string, httpStatus?: number): CloudErrorClass {
  const known = exact[code] ?? families.find(([pattern]) => pattern.test(code))?.[1]
  if (known !== undefined) return known
  if (httpStatus === 429) return 'throttled'
  return httpStatus !== undefined && httpStatus >= 500 ? 'retry' : 'bug'
}

/** A cloud error, of one of the classes if any are named. */
export function isCloudError(e: unknown, ...classes: readonly CloudErrorClass[]): e is CloudError {
  return e instanceof CloudError && (classes.length === 0 || isOf(e, ...classes))
}

/** Like isCloudError for what is known to be one: says nothing about the type when the answer is no. */
export function isOf(e: CloudError, ...classes: readonly CloudErrorClass[]): boolean {
  return classes.includes(e.class)
}
