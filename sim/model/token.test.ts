// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { code, world } from '../testing.ts'

const create = { VSwitchId: 'vsw-small', SecurityGroupId: 'sg-1', ClientToken: 'token-1' }

test('the same token and parameters get the first reply for 24 hours', async () => {
  const { call, clock, simulator } = world()
  const first = await call('CreateNetworkInterface', create)
  const enis = simulator.store.state.list('eni').length
  clock.pass(24 * 3600_000 - 1)
  assert.deepEqual(await call('CreateNetworkInterface', create), first)
  assert.equal(simulator.store.state.list('eni').length, enis)
  clock.pass(1)
  const later = await call('CreateNetworkInterface', create)
  assert.notEqual(later.NetworkInterfaceId, first.NetworkInterfaceId)
})

test('a token with other parameters is refused, whatever the protocol around it', async () => {
  const { call } = world()
  const first = await call('CreateNetworkInterface', create)
  await assert.rejects(call('CreateNetworkInterface', { ...create, Description: 'other' }), code('IdempotentParameterMismatch'))
  assert.deepEqual(await call('CreateNetworkInterface', { ...create, SignatureNonce: 'another', Format: 'XML' }), first)
})

test('a call that failed leaves its token free', async () => {
  const { call, simulator } = world()
  simulator.exhaustVSwitch('vsw-small')
  await assert.rejects(call('CreateNetworkInterface', create), code('InvalidVSwitchId.IpNotEnough'))
  simulator.exhaustVSwitch('vsw-small', false)
  assert.match((await call('CreateNetworkInterface', { ...create, Description: 'other' })).NetworkInterfaceId, /^eni-/)
})

test('a token that is no token is refused', async () => {
  const { call } = world()
  for (const ClientToken of ['x'.repeat(65), 'ä'])
    await assert.rejects(call('CreateNetworkInterface', { ...create, ClientToken }), code('InvalidParameter'))
})
