// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sliceRow } from '#state/endpoint-row.ts'
import { protocols } from '#state/target.ts'
import { type Endpoints, here, type PortInput, slice } from '../../../test/support/service-objects.ts'
import { clusterEndpoints, endpointsOfPort, localEndpoints, type PortEndpoint } from './endpoints.ts'

const rows = (...slices: readonly (readonly [Endpoints, (readonly PortInput[])?])[]) =>
  slices.flatMap(([endpoints, ports], i) => sliceRow(slice('d/a', `s${i}`, endpoints, ports)) ?? [])
const tcp4 = { name: '', protocol: 6, family: 4 } as const
const tcp = (endpoints: Endpoints) => endpointsOfPort(rows([endpoints]), tcp4, here.name)
const last = (list: readonly PortEndpoint[]) => list.map(({ row: { ip } }) => ip.slice(ip.lastIndexOf('.') + 1)).join(' ')

const leaving = { ready: false, serving: true, terminating: true }
const dead = { ready: false, serving: false, terminating: true }
const mine = { node: here.name }

/** name, endpoints, whom policy Cluster gets, whom policy Local gets: the table of kube-proxy's CategorizeEndpoints. */
const table: readonly (readonly [string, Endpoints, string, string])[] = [
  ['nobody', {}, '', ''],
  ['ready ones, wherever they are', { '10.0.0.1': {}, '10.0.0.2': mine }, '1 2', '2'],
  ['one that is not ready is nobody', { '10.0.0.1': { ready: false }, '10.0.0.2': { ...mine, ready: false } }, '', ''],
  ['one that leaves gives way to who is ready', { '10.0.0.1': leaving, '10.0.0.2': {} }, '2', ''],
  ['those that leave, while nobody is ready', { '10.0.0.1': leaving, '10.0.0.2': { ...leaving, ...mine }, '10.0.0.3': dead }, '1 2', '2'],
  ['each policy for itself', { '10.0.0.1': {}, '10.0.0.2': { ...leaving, ...mine } }, '1', '2'],
  ['ready though it leaves: not-ready addresses are published', { '10.0.0.1': { ready: true, terminating: true } }, '1', ''],
  ['serving is not enough', { '10.0.0.1': { ready: false, serving: true } }, '', ''],
  ['the zone', { '10.0.0.1': { zones: ['a'] }, '10.0.0.2': { zones: ['b'] }, '10.0.0.3': { zones: ['b', 'a'] } }, '1 3', ''],
  ['a hint that lacks: the hints are being changed', { '10.0.0.1': { zones: ['a'] }, '10.0.0.2': {} }, '1 2', ''],
  ['who is not ready needs no hint', { '10.0.0.1': { zones: ['a'] }, '10.0.0.2': { ready: false }, '10.0.0.3': { zones: ['b'] } }, '1', ''],
  ['nobody for the zone', { '10.0.0.1': { zones: ['b'] }, '10.0.0.2': { zones: ['c'] } }, '1 2', ''],
  ['the node before the zone', { '10.0.0.1': { nodes: ['cn-a'], zones: ['a'] }, '10.0.0.2': { nodes: ['cn-b'], zones: ['a'] } }, '1', ''],
  [
    'nobody for the node, then the zone',
    { '10.0.0.1': { nodes: ['cn-c'], zones: ['b'] }, '10.0.0.2': { nodes: ['cn-b'], zones: ['a'] } },
    '2',
    '',
  ],
  ['a hint for the node that one lacks', { '10.0.0.1': { nodes: ['cn-a'] }, '10.0.0.2': { zones: ['a'] } }, '1 2', ''],
  ['hints mean nothing to policy Local', { '10.0.0.1': { zones: ['a'] }, '10.0.0.2': { ...mine, zones: ['b'] } }, '1', '2'],
  [
    'hints mean nothing to those that leave',
    { '10.0.0.1': { ...leaving, zones: ['b'] }, '10.0.0.2': { ...leaving, zones: ['a'] } },
    '1 2',
    '',
  ],
]

for (const [name, endpoints, cluster, local] of table)
  test(`endpoints: ${name}`, () => {
    const all = tcp(endpoints)
    assert.equal(last(clusterEndpoints(all, here)), cluster)
    assert.equal(last(localEndpoints(all, here.name)), local)
  })

test('a node whose zone and name are not known takes no hint', () => {
  const all = tcp({ '10.0.0.1': { zones: ['a'] }, '10.0.0.2': { zones: ['b'] } })
  assert.equal(last(clusterEndpoints(all, { name: '', zone: '' })), '1 2')
  assert.equal(last(localEndpoints(tcp({ '10.0.0.1': { node: '' } }), '')), '')
})

test('ports are found by name and protocol, in slices of the family', () => {
  const slices = rows(
    [{ '10.0.0.1': {} }, [{ name: 'dns', protocol: 'UDP', port: 53 }, { name: 'dns', protocol: 'TCP', port: 5353 }, { name: 'all' }]],
    [{ 'fd00:1::1': {} }, [{ name: 'dns', protocol: 'UDP', port: 53 }]],
  )
  const found = (name: string, protocol: string, family: 4 | 6) =>
    endpointsOfPort(slices, { name, protocol: protocols[protocol] ?? 0, family }, '').map(e => `${e.target.ip} ${e.target.port}`)
  assert.deepEqual(found('dns', 'UDP', 4), ['10.0.0.1 53'])
  assert.deepEqual(found('dns', 'TCP', 4), ['10.0.0.1 5353'])
  assert.deepEqual(found('dns', 'UDP', 6), ['fd00:1::1 53'])
  assert.deepEqual(found('dns', 'SCTP', 4), [])
  assert.deepEqual(found('', 'UDP', 4), [])
  assert.deepEqual(found('all', 'TCP', 4), [])
})

test('an endpoint in two slices is one: who is here, then who is ready, then the first', () => {
  const both = (a: Endpoints, b: Endpoints) => endpointsOfPort(rows([a], [b]), tcp4, here.name)
  assert.deepEqual(
    both({ '10.0.0.1': { ready: false } }, { '10.0.0.1': {} }).map(e => e.row.ready),
    [true],
  )
  assert.deepEqual(
    both({ '10.0.0.1': {} }, { '10.0.0.1': { ready: false } }).map(e => e.row.ready),
    [true],
  )
  assert.deepEqual(
    both({ '10.0.0.1': {} }, { '10.0.0.1': { ...mine, ready: false } }).map(e => e.row.node),
    [here.name],
  )
  // Two numbers of a named port are two endpoints.
  const two = endpointsOfPort(rows([{ '10.0.0.1': {} }, [{ port: 1 }]], [{ '10.0.0.1': {} }, [{ port: 2 }]]), tcp4, here.name)
  assert.deepEqual(
    two.map(e => e.target.port),
    [1, 2],
  )
})
