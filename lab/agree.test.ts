// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { disagreements, idleOf, type Witnesses } from './agree.ts'

const agreed: Witnesses = {
  node: 'node1',
  cloud: new Map([['eni-1', ['10.0.0.1', '10.0.0.2']]]),
  resources: new Map([['eni-1', ['10.0.0.1', '10.0.0.2']]]),
  cloudMacs: ['m0', 'm1'],
  kernelMacs: ['m0', 'm1'],
  held: ['10.0.0.2'],
  routes: ['10.0.0.2'],
  rules: ['10.0.0.2'],
  pods: ['10.0.0.2'],
  loose: [],
}

test('witnesses that agree leave nothing to say', () => {
  assert.deepEqual(disagreements(agreed), [])
})

test('each kind of disagreement names the node, the thing, and who has it', () => {
  const said = (change: Partial<Witnesses>) => disagreements({ ...agreed, ...change })
  assert.deepEqual(said({ resources: new Map([['eni-1', ['10.0.0.1']]]) }), [
    'node1: eni-1: 10.0.0.2 is in the cloud and not in the Node resource',
  ])
  assert.deepEqual(said({ cloud: new Map() }).length, 2)
  assert.deepEqual(said({ kernelMacs: ['m0'] }), ['node1: ENI m1 is in the cloud and not in the kernel'])
  assert.deepEqual(said({ held: [], routes: [], pods: [] }), ['node1: pod address 10.0.0.2 is in policy rules and not in NodeRuntime'])
  assert.deepEqual(said({ loose: ['cali1'] }), ['node1: device cali1 belongs to no pod'])
})

test('where each pod has an ENI for itself it has all of its addresses, and there are no policy rules', () => {
  const own = new Map([['m1', ['10.0.0.2', 'fd00::2']]])
  const held = ['10.0.0.2', 'fd00::2']
  const exclusive = { ...agreed, ...{ held, routes: held, pods: held, rules: [] }, exclusive: { cloud: own, pods: own } }
  assert.deepEqual(disagreements(exclusive), [])
  const said = (change: Partial<Witnesses['exclusive']>) =>
    disagreements({ ...exclusive, exclusive: { ...exclusive.exclusive, ...change } })
  assert.deepEqual(said({ pods: new Map([['m2', held]]) }), [
    'node1: ENI m2: 10.0.0.2 is in its pod and not in the cloud',
    'node1: ENI m2: fd00::2 is in its pod and not in the cloud',
  ])
  assert.deepEqual(said({ pods: new Map() }).length, 2)
  assert.deepEqual(said({ cloud: new Map([['m1', [...held, '10.0.0.3']]]) }), [
    'node1: ENI m1 has more than one IPv4 address for its only pod',
    'node1: ENI m1: 10.0.0.3 is in the cloud and not in its pod',
  ])
})

test('idle addresses are counted in pods that they would serve: pairs in dual stack', () => {
  const cloud = new Map([
    ['eni-1', ['10.0.0.1', '10.0.0.2', 'fd00::1', 'fd00::2']],
    ['eni-2', ['10.0.0.3', '10.0.0.4', 'fd00::3']],
  ])
  const idle = (held: readonly string[]) => [
    idleOf({ cloud, held }, 'ipv4'),
    idleOf({ cloud, held }, 'dual'),
    idleOf({ cloud, held }, 'ipv6'),
  ]
  assert.deepEqual(idle([]), [4, 3, 3])
  assert.deepEqual(idle(['10.0.0.1', 'fd00::1']), [3, 2, 2])
  assert.deepEqual(idle(['fd00::1', 'fd00::2']), [4, 1, 1])
})
