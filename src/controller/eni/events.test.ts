// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Eni } from '#cloud/port.ts'
import { eventOf } from '#controller/eni/events.ts'

test('a new ENI is told with its addresses, of both families where it has them', () => {
  const intent = { token: 't', kind: 'create-eni', vSwitchID: 'v', ipv4Count: 1, ipv6Count: 0, since: '' } as const
  const told = (ipv4: readonly string[], ipv6: readonly string[]) =>
    eventOf({ was: 'created', intent, eni: { id: 'eni-1', ipv4, ipv6 } as unknown as Eni, vSwitch: undefined })?.message
  assert.equal(told(['10.0.0.1'], []), 'ENI eni-1 with 1 addresses')
  assert.equal(told(['10.0.0.1'], ['fd00::1', 'fd00::2']), 'ENI eni-1 with 1 IPv4 and 2 IPv6 addresses')
})
