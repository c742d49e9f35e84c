// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { quotaNotice } from '#controller/node/quota.ts'
import type { Stack } from '#net/stack.ts'

const eni = { vSwitchOptions: ['v'], securityGroupIDs: ['s'], vSwitchSelectPolicy: 'random' } as const
const notice = (stack: Stack, ipv4PerAdapter: number, ipv6PerAdapter: number) =>
  quotaNotice({
    nodeMetadata: { regionID: 'r', zoneID: 'z', instanceID: 'i', instanceType: 'T' },
    nodeCap: { adapters: 3, ipv4PerAdapter, ipv6PerAdapter },
    eni: { ...eni, enableIPv4: stack !== 'ipv6', enableIPv6: stack !== 'ipv4' },
  })

test('unequal numbers of addresses are told, with what they cost and the way out', () => {
  const pair = 'a dual-stack pod needs one of each, so this node'
  assert.equal(
    notice('dual', 6, 2),
    `instance type T has 6 IPv4 and 2 IPv6 addresses per ENI: ${pair} serves 4 pods instead of 12; use a type with equal numbers, or ip_stack ipv4`,
  )
  assert.equal(
    notice('dual', 6, 0),
    `instance type T has 6 IPv4 and 0 IPv6 addresses per ENI: ${pair} serves no pod; use a type with equal numbers, or ip_stack ipv4`,
  )
  assert.match(notice('dual', 2, 6) ?? '', /serves 4 pods instead of 12; .* ip_stack ipv6$/)
  assert.equal(
    notice('ipv6', 6, 0),
    'instance type T has no IPv6 addresses: this node serves no pod; use a type that has, or ip_stack ipv4',
  )
})

test('nothing is told where nothing is lost, or known', () => {
  for (const [stack, v4, v6] of [
    ['dual', 6, 6],
    ['ipv6', 6, 2],
    ['ipv4', 6, 0],
  ] as const)
    assert.equal(notice(stack, v4, v6), undefined)
  assert.equal(quotaNotice({ eni: { ...eni, enableIPv6: true } }), undefined)
})

test('where each pod has an ENI only the absence of a family costs something', () => {
  const nodeCap = (ipv6PerAdapter: number) => ({ adapters: 3, ipv4PerAdapter: 6, ipv6PerAdapter })
  const told = (v6: number) => quotaNotice({ nodeCap: nodeCap(v6), eni: { ...eni, enableIPv6: true } }, 'exclusive')
  assert.equal(told(2), undefined)
  assert.match(told(0) ?? '', /so this node serves no pod/)
})
