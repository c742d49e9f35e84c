// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DatapathGoal } from '#daemon/datapath-memory.ts'
import { nextStep } from '#daemon/datapath-step.ts'

const v2: DatapathGoal = { kind: 'v2', by: 'label', why: '', off: false, hostStackCidrs: [], serviceCidrs: [] }
const off: DatapathGoal = { ...v2, off: true }
const veth: DatapathGoal = { ...v2, kind: 'veth' }
const toV2 = (learn: boolean) => ({ do: 'set', node: { kind: 'v2', hostStackCidrs: [], serviceCidrs: [], learn } })
const toVeth = { do: 'set', node: { kind: 'veth' } }
const nothing = { do: 'nothing' }

test('a node that is as it should be is left alone', () => {
  assert.deepEqual(nextStep(v2, { told: v2, mode: 7, pods: 2 }), nothing)
  assert.deepEqual(nextStep(veth, { told: veth, mode: undefined, pods: 2 }), nothing)
  assert.deepEqual(nextStep(off, { told: v2, mode: 0, pods: 2 }), nothing)
})

test('off is the mode alone, also for an engine that knows nothing of programs yet, and on a node without any', () => {
  assert.deepEqual(nextStep(off, { told: v2, mode: 7, pods: 2 }), { do: 'turn-off' })
  assert.deepEqual(nextStep(off, { told: undefined, mode: 15, pods: 2 }), { do: 'turn-off' })
  assert.deepEqual(nextStep(off, { told: veth, mode: undefined, pods: 2 }), nothing)
})

test('a mode of 0 that nobody wants ends, and what pods began meanwhile is learned', () => {
  assert.deepEqual(nextStep(v2, { told: v2, mode: 0, pods: 2 }), toV2(true))
  assert.deepEqual(nextStep(v2, { told: v2, mode: undefined, pods: 0 }), toV2(false))
})

test('a new process tells its engine; what forwards already is not learned', () => {
  assert.deepEqual(nextStep(v2, { told: undefined, mode: 7, pods: 2 }), toV2(false))
  assert.deepEqual(nextStep(v2, { told: undefined, mode: 0, pods: 2 }), toV2(true), 'a switch to V2 that was killed')
  assert.deepEqual(nextStep(veth, { told: undefined, mode: undefined, pods: 2 }), toVeth)
})

test('what a failed switch left goes', () => {
  assert.deepEqual(nextStep(veth, { told: veth, mode: 0, pods: 2 }), toVeth)
  assert.deepEqual(nextStep({ ...v2, hostStackCidrs: [] }, { told: veth, mode: undefined, pods: 0 }), toV2(false))
})

const services = { natPortFirst: 61000, natPortLast: 65535 }
const [v2Services, vethServices, offServices] = [v2, veth, off].map(goal => ({ ...goal, services })) as [
  DatapathGoal,
  DatapathGoal,
  DatapathGoal,
]
const toServices = (kind: 'v2' | 'services', learn: boolean) => {
  return { do: 'set', node: { kind, hostStackCidrs: [], serviceCidrs: [], learn, services } }
}

test('Services without kube-proxy: on a node of either kind, and one that waits for them is left alone', () => {
  assert.deepEqual(nextStep(v2Services, { told: v2Services, mode: 23, pods: 2 }), nothing)
  assert.deepEqual(nextStep(v2Services, { told: v2Services, mode: 7, pods: 2 }), nothing, 'they are not in the maps yet')
  assert.deepEqual(nextStep(vethServices, { told: vethServices, mode: 16, pods: 2 }), nothing)
  assert.deepEqual(nextStep(vethServices, { told: vethServices, mode: 0, pods: 2 }), nothing)
})

test('Services begin and end', () => {
  assert.deepEqual(nextStep(vethServices, { told: veth, mode: undefined, pods: 2 }), toServices('services', true))
  assert.deepEqual(nextStep(vethServices, { told: veth, mode: undefined, pods: 0 }), toServices('services', false))
  assert.deepEqual(nextStep(v2Services, { told: v2, mode: 7, pods: 2 }), toServices('v2', true))
  assert.deepEqual(nextStep(v2, { told: v2Services, mode: 23, pods: 2 }), toV2(false))
  assert.deepEqual(nextStep(veth, { told: vethServices, mode: 16, pods: 2 }), toVeth)
})

test('a node whose Services are the programs switches its way of forwarding: what the host stack forwarded is learned', () => {
  assert.deepEqual(nextStep(v2Services, { told: vethServices, mode: 16, pods: 2 }), toServices('v2', true))
  assert.deepEqual(nextStep(vethServices, { told: v2Services, mode: 23, pods: 2 }), toServices('services', false))
})

test('off with Services: they go on, and the engine keeps them so', () => {
  assert.deepEqual(nextStep(offServices, { told: v2Services, mode: 16, pods: 2 }), toServices('services', false))
  assert.deepEqual(nextStep(offServices, { told: undefined, mode: 23, pods: 2 }), toServices('services', false))
  assert.deepEqual(nextStep(offServices, { told: offServices, mode: 16, pods: 2 }), nothing)
  assert.deepEqual(nextStep(off, { told: offServices, mode: 16, pods: 2 }), { do: 'turn-off' })
})
