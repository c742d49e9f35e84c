// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BindablePod, bindCentrally } from '#controller/eni/bind.ts'
import { mirror } from '#controller/eni/mirror.ts'
import type { NicIp, NodeStatus } from '#kube/crd/node.ts'
import type { NodeRuntime } from '#kube/crd/node-runtime.ts'

const ip = (text: string, extra: Partial<NicIp> = {}): NicIp => ({ ip: text, primary: false, status: 'Valid', ...extra })
const status = (...addresses: readonly NicIp[]): NodeStatus => ({
  networkInterfaces: { 'eni-1': { id: 'eni-1', status: 'InUse', ipv4: Object.fromEntries(addresses.map(a => [a.ip, a])) } },
})
const pod = (name: string, extra: Partial<BindablePod> = {}): BindablePod => ({
  id: `default/${name}`,
  uid: `uid-${name}`,
  ips: [],
  leaving: false,
  ...extra,
})
const runtime = (pods: Readonly<Record<string, 'initial' | 'deleted'>>, ipv4?: string, eniID?: string): NodeRuntime => ({
  apiVersion: 'network.alibabacloud.com/v1beta1',
  kind: 'NodeRuntime',
  metadata: { name: 'n' },
  spec: {},
  status: {
    pods: Object.fromEntries(
      Object.entries(pods).map(([name, s]) => [
        `uid-${name}`,
        {
          podID: `default/${name}`,
          status: { [s]: { lastUpdateTime: '2026-01-01T00:00:00Z' } },
          ...(ipv4 && { ipv4 }),
          ...(eniID && { eniID }),
        },
      ]),
    ),
  },
})
const bound = (s: NodeStatus) =>
  Object.fromEntries(Object.values(s.networkInterfaces?.['eni-1']?.ipv4 ?? {}).map(a => [a.ip, a.podID ?? '']))

test("Terway's protocol: each waiting pod gets a free address, a pod that has one gets that one", () => {
  const s = bindCentrally(
    status(ip('10.0.0.1'), ip('10.0.0.2'), ip('10.0.0.3', { status: 'Deleting' })),
    [pod('a'), pod('b', { ips: ['10.0.0.1'] })],
    undefined,
    'ipv4',
  )
  assert.deepEqual(bound(s), { '10.0.0.1': 'default/b', '10.0.0.2': 'default/a', '10.0.0.3': '' })
})

test('two families: a new pod gets one of each from one ENI; what a pod has it keeps, whatever the stack is now', () => {
  const six = (text: string, extra: Partial<NicIp> = {}) => ({ [text]: ip(text, extra) })
  const both: NodeStatus = {
    networkInterfaces: {
      'eni-1': { id: 'eni-1', status: 'InUse', ipv4: { '10.0.0.1': ip('10.0.0.1') }, ipv6: {} },
      'eni-2': {
        id: 'eni-2',
        status: 'InUse',
        ipv4: { '10.0.0.2': ip('10.0.0.2'), '10.0.0.3': ip('10.0.0.3') },
        ipv6: { ...six('fd00::2'), ...six('fd00::3') },
      },
    },
  }
  const all = (s: NodeStatus) =>
    Object.values(s.networkInterfaces ?? {})
      .flatMap(nic => Object.values({ ...nic.ipv4, ...nic.ipv6 }))
      .flatMap(a => (a.podID === undefined ? [] : [`${a.ip} ${a.podID}`]))
  const pods = [pod('new'), pod('v4', { ips: ['10.0.0.2'] })]
  assert.deepEqual(all(bindCentrally(both, pods, undefined, 'dual')), [
    '10.0.0.2 default/v4',
    '10.0.0.3 default/new',
    'fd00::2 default/new',
  ])
  assert.deepEqual(all(bindCentrally(both, pods, undefined, 'ipv6')), ['10.0.0.2 default/v4', 'fd00::2 default/new'])
  assert.deepEqual(all(bindCentrally(both, [pod('a'), pod('b'), pod('c')], undefined, 'dual')).length, 4, 'no half of a pair')
})

test('an address is freed only when its pod is gone and the daemon says deleted for that UID', () => {
  const taken = status(ip('10.0.0.1', { podID: 'default/a', podUID: 'uid-a' }))
  assert.deepEqual(bound(bindCentrally(taken, [], undefined, 'ipv4')), { '10.0.0.1': 'default/a' })
  assert.deepEqual(bound(bindCentrally(taken, [], runtime({ a: 'initial' }), 'ipv4')), { '10.0.0.1': 'default/a' })
  assert.deepEqual(bound(bindCentrally(taken, [pod('a')], runtime({ a: 'deleted' }), 'ipv4')), { '10.0.0.1': 'default/a' })
  assert.deepEqual(bound(bindCentrally(taken, [], runtime({ a: 'deleted' }), 'ipv4')), { '10.0.0.1': '' })
})

test('what has vanished under a pod goes with it, but not the primary address, which says that the ENI is lost', () => {
  const gone = { status: 'Invalid', podID: 'default/a', podUID: 'uid-a' } as const
  const s = bindCentrally(status(ip('10.0.0.1', { ...gone, primary: true }), ip('10.0.0.2', gone)), [], runtime({ a: 'deleted' }), 'ipv4')
  assert.deepEqual(
    Object.values(s.networkInterfaces?.['eni-1']?.ipv4 ?? {}).map(a => [a.ip, a.status, a.podUID]),
    [
      ['10.0.0.1', 'Invalid', undefined],
      ['10.0.0.2', 'Deleting', undefined],
    ],
  )
})

test('local binding is mirrored: live pods in, deleted ones out, bindings that the daemon does not know yet stay', () => {
  const s = mirror(
    status(ip('10.0.0.1'), ip('10.0.0.2', { podID: 'default/old', podUID: 'uid-old' })),
    runtime({ a: 'initial' }, '10.0.0.1'),
  )
  assert.deepEqual(bound(s), { '10.0.0.1': 'default/a', '10.0.0.2': 'default/old' })
  assert.deepEqual(bound(mirror(s, runtime({ a: 'deleted', old: 'deleted' }))), { '10.0.0.1': '', '10.0.0.2': '' })
  const elsewhere = runtime({ a: 'initial' }, '10.0.0.1', 'eni-2')
  assert.deepEqual(bound(mirror(status(ip('10.0.0.1')), elsewhere)), { '10.0.0.1': '' }, 'an ENI that has the address no more')
})
