// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { plan } from '#ipam/plan.ts'
import { type AddressState, type Binding, type PoolFacts, poolOf } from '#ipam/pool.ts'
import { eniModeLabel, type NicIp } from '#kube/crd/node.ts'
import type { NodeRuntime, NodeRuntimeStatus } from '#kube/crd/node-runtime.ts'

const ip = '10.0.0.9'
const at = '2026-01-01T00:00:00Z'
const valid: NicIp = { ip, primary: false, status: 'Valid' }

function facts(binding: Binding, address: NicIp, status: NodeRuntimeStatus = {}, pods: readonly string[] = []): PoolFacts {
  const runtime: NodeRuntime = {
    apiVersion: 'network.alibabacloud.com/v1beta1',
    kind: 'NodeRuntime',
    metadata: { name: 'n1' },
    spec: {},
    status,
  }
  const primary: NicIp = { ip: '10.0.0.8', primary: true, status: 'Valid', podID: 'default/other', podUID: 'other' }
  return {
    node: {
      apiVersion: 'network.alibabacloud.com/v1beta1',
      kind: 'Node',
      metadata: { name: 'n1' },
      spec: { nodeCap: { adapters: 4, ipv4PerAdapter: 10 } },
      status: { networkInterfaces: { 'eni-1': { id: 'eni-1', status: 'InUse', ipv4: { '10.0.0.8': primary, [ip]: address } } } },
    },
    runtime,
    binding,
    podUids: new Set(['other', ...pods]),
    seen: new Map(),
  }
}

const stateOf = (f: PoolFacts) => poolOf(f).enis[0]?.addresses.find(a => a.ip === ip)?.state

const live = (ipv4?: string, eniID = 'eni-1'): NodeRuntimeStatus => ({
  pods: { u1: { podID: 'default/a', status: { initial: { lastUpdateTime: at } }, ...(ipv4 === undefined ? {} : { ipv4, eniID }) } },
})
const answered = (nonce: string, answer: 'acked' | 'refused'): NodeRuntimeStatus => ({
  releases: { [ip]: { nonce, answer, lastUpdateTime: at } },
})
const marked: NicIp = { ...valid, status: 'Deleting', releaseNonce: 'n2' }

test('what an address is, by record and report', () => {
  const rows: readonly (readonly [string, AddressState, PoolFacts])[] = [
    ['valid and unbound', 'idle', facts('local', valid)],
    ['leased by a live pod of the report', 'held', facts('local', valid, live(ip))],
    ['marked, no answer', 'marked', facts('local', marked)],
    ['marked again after an older answer', 'marked', facts('local', marked, answered('n1', 'acked'))],
    ['given back', 'acked', facts('local', marked, answered('n2', 'acked'))],
    ['kept', 'refused', facts('local', marked, answered('n2', 'refused'))],
    ['Deleting as Terway leaves it', 'unasked', facts('local', { ...valid, status: 'Deleting' })],
    ['Valid again, still barred on the node', 'barred', facts('local', valid, answered('n1', 'acked'))],
    ['vanished in the cloud', 'invalid', facts('local', { ...valid, status: 'Invalid' })],
    ['vanished under a live pod', 'held', facts('local', { ...valid, status: 'Invalid' }, live(ip))],
    [
      'vanished, and leased on the ENI that the cloud has given it to',
      'invalid',
      facts('local', { ...valid, status: 'Invalid' }, live(ip, 'eni-2')),
    ],
    ['given by the cloud while a pod has it on an ENI that is gone', 'held', facts('local', valid, live(ip, 'eni-2'))],
    ['bound in the record, pod alive', 'held', facts('local', { ...valid, podID: 'default/a', podUID: 'u1' }, {}, ['u1'])],
    ['bound in the record, pod gone', 'idle', facts('local', { ...valid, podID: 'default/a', podUID: 'u1' })],
    ["Terway's binding stands until it is cleared", 'held', facts('central', { ...valid, podID: 'default/a', podUID: 'u1' })],
  ]
  for (const [what, state, f] of rows) assert.equal(stateOf(f), state, what)
})

test('on an ENI that serves nobody a lease of another ENI holds nothing, so it can go', () => {
  const f = facts('local', valid, live(ip, 'eni-2'))
  const { 'eni-1': nic } = f.node.status?.networkInterfaces ?? {}
  assert.ok(nic)
  const on = (status: string) => ({ ...f, node: { ...f.node, status: { networkInterfaces: { 'eni-1': { ...nic, status } } } } })
  assert.deepEqual(
    ['InUse', 'Attaching', 'Deleting'].map(s => stateOf(on(s))),
    ['held', 'idle', 'idle'],
  )
})

test('a daemon that answers no marks is not waited for: what nobody has goes, what somebody has stays', () => {
  assert.equal(stateOf(facts('central', marked)), 'unasked')
  assert.equal(stateOf(facts('central', { ...marked, podID: 'default/a', podUID: 'u1' })), 'refused')
  assert.equal(stateOf(facts('central', marked, live(ip))), 'refused', 'a lease that our daemon made before it was replaced')

  const quiet = { waiting: 0, min: 0, max: 0, warmUpRemaining: 0, adjust: false, reclaimExtra: 0 }
  const next = (address: NicIp) =>
    plan({ pool: poolOf(facts('central', address)), demand: quiet, vSwitches: [], formerVSwitches: [] }).actions
  assert.deepEqual(next({ ...valid, status: 'Invalid' }), [{ do: 'mark-release', eniId: 'eni-1', addresses: [ip], whole: false }])
  assert.deepEqual(next(marked), [{ do: 'unassign', eniId: 'eni-1', ipv4: [ip], ipv6: [] }])
  assert.deepEqual(next({ ...marked, podID: 'default/a', podUID: 'u1' }), [{ do: 'unmark', eniId: 'eni-1', addresses: [ip], eni: 'InUse' }])
})

test('where each pod has an ENI an ENI has an address of each family for pods, and there is no trunk', () => {
  const f = facts('local', valid)
  const flavor = [
    { networkInterfaceType: 'Trunk', networkInterfaceTrafficMode: 'Standard', count: 1 },
    { networkInterfaceType: 'Secondary', networkInterfaceTrafficMode: 'Standard', count: 2 },
  ] as const
  const { metadata, spec } = f.node
  const labelled = (value: string) =>
    poolOf({ ...f, node: { ...f.node, metadata: { ...metadata, labels: { [eniModeLabel]: value } }, spec: { ...spec, flavor } } })
  const limits = (value: string) => {
    const { mode, capacity4, capacity6, maxEnis, trunks } = labelled(value)
    return { mode, capacity4, capacity6, maxEnis, trunks }
  }
  assert.deepEqual(limits('eniOnly'), { mode: 'exclusive', capacity4: 1, capacity6: 0, maxEnis: 3, trunks: 0 })
  assert.deepEqual(limits('ENIONLY').mode, 'exclusive')
  assert.deepEqual(limits('default'), { mode: 'shared', capacity4: 10, capacity6: 0, maxEnis: 3, trunks: 1 })
})
