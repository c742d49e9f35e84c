// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloudError, classify, isCloudError } from '#cloud/errors.ts'
import type { CloudErrorClass } from '#cloud/port.ts'

/** The codes that Terway recognises, by what its clients do about them. */
const recognised: readonly (readonly [string, CloudErrorClass])[] = [
  ['Throttling', 'throttled'],
  ['Throttling.User', 'throttled'],
  ['InternalError', 'retry'],
  ['Operation.Conflict', 'retry'],
  ['IdempotentFailed', 'conflict'],
  ['InvalidVSwitchId.IpNotEnough', 'no-addresses'],
  ['QuotaExceeded.PrivateIpAddress', 'no-addresses'],
  ['EniPerInstanceLimitExceeded', 'quota'],
  ['SecurityGroupInstanceLimitExceed', 'quota'],
  ['InvalidOperation.Ipv4CountExceeded', 'quota'],
  ['InvalidOperation.Ipv6CountExceeded', 'quota'],
  ['InvalidOperation.Ipv6NotSupport', 'quota'],
  ['InvalidVSwitch.Ipv6NotTurnOn', 'quota'],
  ['InvalidOperation.InvalidEniState', 'conflict'],
  ['Forbidden.RAM', 'denied'],
  ['InvalidAllocationId.NotFound', 'gone'],
  ['InvalidEniId.NotFound', 'gone'],
  ['InvalidEcsId.NotFound', 'gone'],
  ['InvalidIp.IpUnassigned', 'gone'],
]

test('each code that Terway recognises has its class', () => {
  for (const [code, expected] of recognised) assert.equal(classify(code, 400), expected, code)
})

test('an unknown code is judged by its HTTP status', () => {
  assert.equal(classify('Whatever', 503), 'retry')
  assert.equal(classify('Whatever', 429), 'throttled')
  assert.equal(classify('InvalidParameter', 400), 'bug')
  assert.equal(classify('QuotaExceed.Eni', 400), 'quota')
})

test('only failures without a verdict may have happened', () => {
  const happened = (code: string, httpStatus = 400) => new CloudError('CreateNetworkInterface', code, 'x', { httpStatus }).mayHaveHappened
  assert.equal(happened('Timeout'), true)
  assert.equal(happened('InternalError', 500), true)
  assert.equal(happened('Operation.Conflict'), false)
  assert.equal(happened('Throttling', 400), false)
  assert.equal(happened('EniPerInstanceLimitExceeded'), false)
})

test('the message names action, code and detail; the request id is beside it, so that a repeated refusal is the same text', () => {
  const e = new CloudError('AttachNetworkInterface', 'Throttling', 'slow down', { requestId: 'R-1', httpStatus: 400 })
  assert.equal(e.message, 'AttachNetworkInterface: Throttling: slow down')
  assert.equal(e.requestId, 'R-1')
  const withRemedy = new CloudError('AssignIpv6Addresses', 'InvalidVSwitch.Ipv6NotTurnOn', 'no IPv6').message
  assert.match(withRemedy, /: no IPv6; turn IPv6 on for the vSwitch, or list another one in eni_conf$/)
  assert.ok(isCloudError(e, 'throttled') && !isCloudError(e, 'quota') && !isCloudError(new Error('x')))
})
