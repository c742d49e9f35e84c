// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseEniConf } from '#config/eni-conf.ts'
import { type AdoptInput, adopt } from '#daemon/adopt.ts'
import { type AttachInput, makeAttachment } from '#daemon/attach.ts'
import { currentHostSide } from '#daemon/context.ts'
import { judgePod, type KnownMode } from '#daemon/pod.ts'
import { resultOf } from '#daemon/result.ts'
import { specPatch } from '#daemon/spec-patch.ts'
import type { IfName, NetnsPath } from '#datapath/attachment.ts'
import { hostIfName } from '#datapath/host-if-name.ts'
import type { PodEni } from '#datapath/port.ts'
import { Book } from '#ipam/book.ts'
import { poolView } from '#ipam/node-pool.ts'
import { eniModeLabel, type NodeCr, type NodeSpec } from '#kube/crd/node.ts'
import type { Pod } from '#kube/reflect/pod.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIp } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import { LedgerMemory } from '../../test/support/ledger-memory.ts'
import { eniConf, nicOf } from '../../test/support/node-world.ts'

const node: NodeCr = {
  apiVersion: 'network.alibabacloud.com/v1beta1',
  kind: 'Node',
  metadata: { name: 'n1', labels: { [eniModeLabel]: 'eniOnly' } },
  spec: { nodeMetadata: { regionID: 'r', instanceType: 't', instanceID: 'i', zoneID: 'zone-a' }, nodeCap: { adapters: 4 } },
  status: { networkInterfaces: { 'eni-1': nicOf(['10.0.0.1', 'fd00:1::1']) } },
}
const pool = poolView({ node, book: new Book(new LedgerMemory()), now: 0, coolingFloor: 1, liveWithoutLease: () => false })
const hostRoutes = ['10.96.0.0/12', 'fd00:10::/112', '169.254.20.10/32'].map(parseCidr)

function podWith(limits: Readonly<Record<string, string>>, annotations: Readonly<Record<string, string>> = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', namespace: 'default', uid: 'u1', annotations },
    spec: { nodeName: 'n1', containers: [{ name: 'c', resources: { limits } }] },
  }
}

function inputOf(change: Partial<AttachInput> = {}): AttachInput {
  const [eni] = pool.enis
  assert.ok(eni)
  return {
    pod: { id: 'default/web', namespace: 'default', name: 'web', uid: 'u1', ingressBytesPerSecond: 5, egressBytesPerSecond: 7 },
    containerId: 'c1',
    netns: '/run/netns/c1' as NetnsPath,
    ifName: 'eth0' as IfName,
    eni,
    addresses: eni.addresses,
    extraRoutes: [],
    hostSide: { hostRoutes, hostPeer: true },
    ...change,
  }
}

describe('which pods are served where each has an ENI of its own', () => {
  const verdict = (pod: Pod, mode: KnownMode) => {
    const found = judgePod(pod, 'n1', mode)
    return found.kind === 'serve' ? 'served' : found.forNow ? 'for now' : found.reason
  }
  test('one with a limit on aliyun/eni, and one without', () => {
    assert.equal(verdict(podWith({ 'aliyun/eni': '1' }), 'exclusive'), 'served')
    assert.equal(verdict(podWith({}), 'exclusive'), 'served')
    assert.match(verdict(podWith({ 'aliyun/eni': '1' }), 'shared'), /limit on aliyun\/eni/)
  })
  test('not one that wants another kind of ENI, or a network of its own', () => {
    for (const limits of [{ 'aliyun/member-eni': '1' }, { 'aliyun/eni': '1', 'aliyun/erdma': '1' }])
      assert.match(verdict(podWith(limits), 'exclusive'), /limit on aliyun\/(member-eni|erdma), which this node does not support/)
    assert.match(verdict(podWith({}, { 'k8s.aliyun.com/pod-eni': 'true' }), 'exclusive'), /ENI of its own \(k8s\.aliyun\.com\/pod-eni\)/)
    assert.match(
      verdict(podWith({}, { 'k8s.aliyun.com/pod-networks': '{}' }), 'exclusive'),
      /network of its own \(k8s\.aliyun\.com\/pod-networks\)/,
    )
  })
  test('a limit waits until it is known which node this is', () => {
    assert.deepEqual([verdict(podWith({ 'aliyun/eni': '1' }), 'unknown'), verdict(podWith({}), 'unknown')], ['for now', 'served'])
  })
})

describe('the attachment of such a pod', () => {
  test('is the ENI, limited on the way out, with routes to the node of the families that the pod has', () => {
    const { v6: _, ...a } = makeAttachment(inputOf({ addresses: inputOf().addresses.filter(x => x.family === 4) }))
    assert.deepEqual(a, {
      kind: 'exclusive-eni',
      containerId: 'c1',
      netns: '/run/netns/c1',
      ifName: 'eth0',
      hostIfName: hostIfName('default', 'web', 'eth0'),
      mtu: 1500,
      v4: { address: '10.0.0.1', subnet: '10.0.0.0/24', gateway: '10.0.0.253' },
      eni: { eniId: 'eni-1', mac: '02:00:00:00:00:01', gateway4: '10.0.0.253' },
      defaultRoute: true,
      extraRoutes: [],
      egressBytesPerSecond: 7,
      hostRoutes: ['10.96.0.0/12', '169.254.20.10/32'],
      hostPeer: true,
    })
  })

  test('the result of ADD names a host end only when there is one', () => {
    const macs = { hostMac: parseMac('0a:00:00:00:00:01'), podMac: parseMac('02:00:00:00:00:01') }
    const without = resultOf(makeAttachment(inputOf({ hostSide: { hostRoutes, hostPeer: false } })), macs)
    assert.deepEqual(without.interfaces, [{ name: 'eth0', mac: '02:00:00:00:00:01', sandbox: '/run/netns/c1', mtu: 1500 }])
    assert.deepEqual(
      without.ips.map(ip => ip.interface),
      [0, 0],
    )
    const { interfaces, ips } = resultOf(makeAttachment(inputOf()), macs)
    assert.deepEqual(
      [interfaces.map(i => i.name), ips.map(ip => ip.interface)],
      [
        [hostIfName('default', 'web', 'eth0'), 'eth0'],
        [1, 1],
      ],
    )
  })

  test('networks of Services and host_stack_cidrs go by the node', () => {
    const conf = parseEniConf(JSON.stringify({ ...eniConf, service_cidr: '10.96.0.0/12,fd00:10::/112' })).conf
    const plugin = { virtualType: '', policyProvider: 'iptables', hostStackCidrs: [] }
    const facts = {
      conf,
      plugin,
      datapath: undefined,
      readBack: 'pending',
      adopted: true,
      notReady: '',
      trace: new Map<string, string>(),
    } as const
    const side = (eniMode: KnownMode, more: object = {}, of?: NodeCr) =>
      currentHostSide({ facts: { ...facts, eniMode, plugin: { ...plugin, ...more } }, cluster: { k8sNode: undefined, node: of } })
    assert.deepEqual(side('exclusive'), { hostRoutes, hostPeer: true })
    assert.equal(side('exclusive', { disableHostPeer: true })?.hostPeer, false)
    assert.equal(side('shared'), undefined)
    const among = { ...node, status: { networkInterfaces: { 'eni-1': nicOf([], { ipv4CIDR: '10.100.0.0/24' }) } } }
    assert.deepEqual(side('exclusive', {}, among)?.hostRoutes, hostRoutes.slice(1), 'a network of Services that has pods in it is none')
  })
})

test('its Node CR keeps no pool: an ENI is made for a pod and goes after it', () => {
  const { conf } = parseEniConf(JSON.stringify({ ...eniConf, max_pool_size: 5, min_pool_size: 2, ip_warm_up_size: 7 }))
  assert.deepEqual((specPatch(node, conf, undefined, 'veth') as NodeSpec).pool, { maxPoolSize: 0, minPoolSize: 0 })
})

describe('adoption where each pod has an ENI of its own', () => {
  const dev = hostIfName('default', 'web', 'eth0')
  const netns = '/run/netns/c1' as NetnsPath
  const eni: PodEni = { netns, dev: 'eth0' as IfName, mac: parseMac('02:00:00:00:00:01'), mtu: 9000, owner: 'c1', home: 'eth1' as IfName }
  const input: AdoptInput = {
    inventory: {
      hostLinks: [{ name: dev, index: 1, up: true, mtu: 1500, owner: 'c1', netns }],
      rules: [],
      routes: [{ ip: parseIp('10.0.0.1'), dev }],
      enis: [eni],
    },
    leases: [],
    pool,
    livePods: [podWith({ 'aliyun/eni': '1' })],
    runtime: undefined,
    nodeName: 'n1',
    extraRoutes: [],
    mode: 'exclusive',
    hostSide: { hostRoutes, hostPeer: true },
    now: 5,
  }
  const nothing = { hostLinks: [], rules: [], routes: [] }

  test('a sandbox that a lost ledger forgot is adopted as what it is', () => {
    const { leases, leftovers } = adopt(input)
    const [lease] = leases
    assert.deepEqual([lease?.owner, lease?.attachment.kind, lease?.attachment.netns], ['cni', 'exclusive-eni', netns])
    assert.deepEqual(leftovers, nothing)
    assert.deepEqual(adopt({ ...input, leases }), { leases: [], leftovers: nothing })
  })

  test('one without a host end is known by its ENI and the last report', () => {
    const status = { initial: { lastUpdateTime: '2026-01-01T00:00:00Z' } }
    const runtime = { pods: { u1: { podID: 'default/web', status, ipv4: '10.0.0.1', containerID: 'c1' } } }
    const alone = { ...input, runtime, inventory: { ...nothing, enis: [eni] } }
    const { leases, leftovers } = adopt(alone)
    const [lease] = leases
    assert.deepEqual([lease?.containerId, lease?.owner, lease?.attachment.mtu, leftovers], ['c1', 'cni', 9000, nothing])
    assert.deepEqual(adopt({ ...alone, runtime: undefined }), { leases: [], leftovers: { ...nothing, enis: [eni] } })
  })

  test('an ENI that no lease accounts for goes back: of a pod that is gone, or of a sandbox before', () => {
    assert.deepEqual(adopt({ ...input, livePods: [] }).leftovers.enis, [eni])
    const { leases } = adopt(input)
    const before = { ...eni, owner: 'c0', netns: '/run/netns/c0' as NetnsPath }
    assert.deepEqual(adopt({ ...input, leases, inventory: { ...input.inventory, enis: [eni, before] } }).leftovers.enis, [before])
    const anothers = { ...before, mac: parseMac('02:00:00:00:00:09') }
    assert.equal(
      adopt({ ...input, livePods: [], inventory: { ...nothing, enis: [anothers] } }).leftovers.enis,
      undefined,
      'not of this node',
    )
  })
})
