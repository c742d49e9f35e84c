// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { metricsObserver } from '#daemon/expose/observer.ts'
import { introspection, refreshGauges, snapshotOf } from '#daemon/expose/snapshot.ts'
import { noSample } from '#daemon/programs.ts'
import type { DaemonState } from '#daemon/state.ts'
import type { IfName, NetnsPath } from '#datapath/attachment.ts'
import type { Lease } from '#ipam/ledger.ts'
import { daemonMetrics } from '#lib/metrics.ts'
import { parseCidr } from '#net/cidr.ts'
import { familyOf, parseIp, parseIpv4 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import type { Stack } from '#net/stack.ts'

const mac = parseMac('00:16:3e:00:00:01')
const lease: Lease = {
  containerId: 'c0',
  state: 'dying',
  podUid: 'u0',
  podNamespace: 'default',
  podName: 'web-0',
  owner: 'cni',
  since: 5,
  attachment: {
    kind: 'shared-eni',
    containerId: 'c0',
    netns: '/run/netns/a' as NetnsPath,
    ifName: 'eth0' as IfName,
    hostIfName: 'cali00000000000' as IfName,
    mtu: 1500,
    v4: { address: parseIpv4('192.0.2.17'), subnet: parseCidr('192.0.2.0/24'), gateway: parseIpv4('192.0.2.253') },
    eni: { eniId: 'eni-1', mac },
    defaultRoute: true,
    extraRoutes: [],
  },
}
const address = { family: 4, eniId: 'eni-1', releasedAt: 0, status: 'Valid', primary: false } as const

const state: DaemonState = {
  nodeName: 'node-1',
  leases: () => [lease],
  cooling: () => [{ ip: parseIp('192.0.2.18'), since: 3 }],
  releases: () => [],
  pool: () => ({
    enis: [
      {
        eniId: 'eni-1',
        mac,
        type: 'Secondary',
        status: 'InUse',
        usable: false,
        reason: 'unschedulable',
        addresses: [
          { ...address, ip: parseIp('192.0.2.17'), state: 'leased' },
          { ...address, ip: parseIp('192.0.2.18'), state: 'cooling' },
        ],
        conditions: [],
      },
    ],
    counts: {
      4: { idle: 0, leased: 1, cooling: 1, releasing: 0, barred: 0 },
      6: { idle: 0, leased: 0, cooling: 0, releasing: 0, barred: 0 },
    },
  }),
  eniMode: () => 'shared',
  limits: () => ({ enis: 3, ipv4PerEni: 10, ipv6PerEni: 2, stack: 'ipv4' }),
  binding: () => ({ mode: 'local', reason: 'annotated' }),
  waiting: () => [],
  readiness: () => ({ ready: true }),
  trace: () => ({ report: 'never' }),
  why: (namespace, name) => ({ pod: `${namespace}/${name}`, state: 'waiting', findings: ['no idle address'] }),
}

test('a leased address shows the state of its lease and its pod; others what the pool says', () => {
  const s = snapshotOf(state, { name: 'node-1' })
  assert.deepEqual(
    s.enis[0]?.addresses.map(a => [a.ip, a.use, a.podId]),
    [
      ['192.0.2.17', 'dying', 'default/web-0'],
      ['192.0.2.18', 'cooling', undefined],
    ],
  )
  assert.deepEqual(s.enis[0]?.conditions, ['not used: unschedulable'])
  assert.deepEqual(s.trace, { binding: 'local: annotated', report: 'never' })
  assert.equal(s.leases[0]?.ipv4, '192.0.2.17')
  assert.deepEqual(JSON.parse(JSON.stringify(s)), s, 'the snapshot is plain JSON')
})

test('why starts with the pod and its state', async () => {
  assert.deepEqual(await introspection(state, {}).why('default', 'web-1'), ['default/web-1: waiting', 'no idle address'])
})

test('gauges follow the state, counters the observer', async () => {
  const m = daemonMetrics()
  refreshGauges(m, state)
  const observer = metricsObserver(m)
  observer.verb('ADD', 11, 7)
  observer.addPhase('kernel', 2)
  observer.repair('repaired', ['add-rule', 'add-rule'])
  observer.coolingWaived()
  observer.disposed(6)
  const tables = [{ table: 'flows', used: 12, room: 131072 }]
  const counts = (packets: bigint) => new Map([['podToRemote', { packets, bytes: 0n }]])
  const dropped = new Map([['spoofed-mac', { packets: 2n, bytes: 0n }]])
  const began = (count: number) => [{ what: 'direct', protocol: 'TCP', count }]
  const full = (count: number) => new Map([['flows', count]])
  const sampled = { ...noSample, tables, drops: dropped }
  const busiest = (pod: string) => [{ namespace: 'shop', pod, flows: 7 }]
  observer.programs({ ...sampled, paths: counts(5n), made: began(30), evicted: full(100) }, busiest('web'))
  // Until now nobody looked; what is taken out of a table meanwhile makes the number a little smaller for a moment.
  observer.programs({ ...sampled, paths: counts(9n), made: began(40), evicted: full(104) }, busiest('db'))
  observer.programs({ ...sampled, paths: counts(9n), made: began(40), evicted: full(103) }, busiest('db'))
  // The maps are made anew.
  observer.programs({ ...sampled, paths: counts(1n), drops: new Map(), made: began(2), evicted: full(106) }, busiest('db'))
  const text = await m.registry.metrics()
  for (const line of [
    'terway_resource_pool_total_count{type="local",ipStack="ipv4"} 2',
    'terway_resource_pool_idle_count{type="local",ipStack="ipv4"} 0',
    'terway_eniip_factory_ip_count{name="local",eni="eni-1",max_ip="10"} 2',
    'terway_eniip_factory_eni_count{name="local",max_eni="3"} 1',
    'terway_resource_pool_disposed_count{type="local",ipStack="ipv6"} 1',
    'terway_rpc_latency_sum{rpc_api="ADD",error="true"} 7',
    'terway_cni_add_phase_seconds_sum{phase="kernel"} 0.002',
    'terway_repair_operations_total{kind="add-rule"} 2',
    'terway_cooling_waived_total 1',
    'terway_datapath_table_entries{table="flows"} 12',
    'terway_datapath_table_room{table="flows"} 131072',
    'terway_datapath_packets_total{path="podToRemote"} 10',
    'terway_datapath_drops_total{reason="spoofed-mac"} 2',
    'terway_datapath_new_flows_total{what="direct",protocol="TCP"} 42',
    'terway_datapath_evicted_entries_total{table="flows"} 6',
    'terway_datapath_pod_flows{namespace="shop",pod="db"} 7',
  ])
    assert.ok(text.includes(`${line}\n`), line)
  assert.doesNotMatch(text, /pod="web"/)
})

test('an ENI counts IPv4 addresses of at most so many, and IPv6 addresses only where pods have no others', async () => {
  const ips = ['192.0.2.17', '2001:db8::17', '2001:db8::18'].map(parseIp)
  const addresses = ips.map(ip => ({ ...address, ip, family: familyOf(ip), state: 'idle' as const }))
  const line = async (stack: Stack) => {
    const m = daemonMetrics()
    const pool = () => ({ ...state.pool(), enis: state.pool().enis.map(e => ({ ...e, addresses })) })
    refreshGauges(m, { ...state, pool, limits: () => ({ ...state.limits(), stack }) })
    return /^terway_eniip_factory_ip_count.*/m.exec(await m.registry.metrics())?.[0]
  }
  const count = 'terway_eniip_factory_ip_count{name="local",eni="eni-1"'
  assert.deepEqual(await Promise.all((['dual', 'ipv6'] as const).map(line)), [`${count},max_ip="10"} 1`, `${count},max_ip="2"} 2`])
})
