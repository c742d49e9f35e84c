// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type EniConf, parseEniConf } from '#config/eni-conf.ts'
import { type AdoptInput, adopt } from '#daemon/adopt.ts'
import { parseFlags } from '#daemon/flags.ts'
import { bandwidth, isPodOf, judgePod } from '#daemon/pod.ts'
import { type RuntimeInput, stamp, wantedRuntime } from '#daemon/runtime-status.ts'
import { specPatch } from '#daemon/spec-patch.ts'
import type { IfName } from '#datapath/attachment.ts'
import { hostIfName } from '#datapath/host-if-name.ts'
import { Book } from '#ipam/book.ts'
import type { Lease } from '#ipam/ledger.ts'
import { poolView } from '#ipam/node-pool.ts'
import type { NodeCr, NodeSpec } from '#kube/crd/node.ts'
import type { Pod } from '#kube/reflect/pod.ts'
import { applyMerge } from '#lib/merge-patch.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIp } from '#net/ip.ts'
import { stacks } from '#net/stack.ts'
import { leaseOf } from '../../test/support/leases.ts'
import { LedgerMemory } from '../../test/support/ledger-memory.ts'
import { eniConf, nicOf } from '../../test/support/node-world.ts'

function podOf(change: { spec?: Partial<Pod['spec']>; meta?: Partial<Pod['metadata']> } = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', namespace: 'default', uid: 'u1', ...change.meta },
    spec: { nodeName: 'n1', ...change.spec },
  }
}

describe('which pods are served', () => {
  const reason = (pod: Pod) => {
    const verdict = judgePod(pod, 'n1', 'shared')
    return verdict.kind === 'serve' ? 'served' : `${verdict.forNow ? 'for now: ' : ''}${verdict.reason}`
  }
  const cases: readonly [string, Parameters<typeof podOf>[0], RegExp][] = [
    ['a plain one', {}, /^served$/],
    ['not scheduled', { spec: { nodeName: '' } }, /^for now: .*not scheduled/],
    ['elsewhere', { spec: { nodeName: 'n2' } }, /on node n2, not on n1/],
    ['host network', { spec: { hostNetwork: true } }, /host's network/],
    ['ignored', { meta: { labels: { 'k8s.aliyun.com/ignore-by-terway': 'true' } } }, /ignore-by-terway/],
    ['own ENI', { meta: { annotations: { 'k8s.aliyun.com/pod-eni': 'T' } } }, /ENI of its own/],
    ['no own ENI', { meta: { annotations: { 'k8s.aliyun.com/pod-eni': 'false' } } }, /^served$/],
    [
      'limit',
      { spec: { initContainers: [{ name: 'i', resources: { limits: { 'aliyun/member-eni': '1' } } }] } },
      /limit on aliyun\/member-eni/,
    ],
  ]
  for (const [name, change, expected] of cases) test(name, () => assert.match(reason(podOf(change)), expected))

  test('a static pod is known by the hash of its manifest', () => {
    const mirror = podOf({ meta: { annotations: { 'kubernetes.io/config.hash': 'h' } } })
    assert.ok(isPodOf(mirror, 'h') && isPodOf(mirror, 'u1') && isPodOf(mirror, undefined))
    assert.equal(isPodOf(mirror, 'other'), false)
  })

  test('bandwidth annotations', () => {
    assert.deepEqual(['1K', '10M', '1.5GiB', '2TB', '100B', '5m'].map(bandwidth), [
      1024,
      10 * 1024 ** 2,
      1.5 * 1024 ** 3,
      2 * 1024 ** 4,
      100,
      5 * 1024 ** 2,
    ])
    assert.deepEqual([undefined, '', '10', '-1M', 'M', '0K'].map(bandwidth), Array(6).fill(undefined))
  })
})

describe('NodeRuntime', () => {
  const now = Date.parse('2026-01-02T03:04:05Z')
  const want = (change: Partial<RuntimeInput>) =>
    wantedRuntime({ leases: [], releases: [], present: undefined, bound: new Map(), gone: () => false, now, ...change })

  test('a lease is reported with its addresses until its devices are gone; a pending one not yet', () => {
    const entry = {
      podID: 'default/pod-c1',
      status: { initial: { lastUpdateTime: '1970-01-01T00:00:01Z' } },
      ipv4: '10.0.0.5',
      eniID: 'eni-1',
      containerID: 'c1',
    }
    assert.deepEqual(want({ leases: [leaseOf('c1', '10.0.0.5')] }), { pods: { 'uid-c1': entry }, releases: {} })
    assert.deepEqual(want({ leases: [leaseOf('c1', '10.0.0.5', { state: 'dying' })] }).pods, { 'uid-c1': entry })
    assert.deepEqual(want({ leases: [leaseOf('c1', '10.0.0.5', { state: 'pending' })] }).pods, {})
  })

  test('a lease of two families, and one of IPv6 alone', () => {
    const pair = leaseOf('c1', ['10.0.0.5', 'fd00:1::5'])
    const { v4: _, ...attachment } = pair.attachment
    const reported = (lease: Lease) => {
      const { ipv4, ipv6 } = want({ leases: [lease] }).pods?.['uid-c1'] ?? {}
      return [ipv4, ipv6]
    }
    assert.deepEqual(reported(pair), ['10.0.0.5', 'fd00:1::5'])
    assert.deepEqual(reported({ ...pair, attachment }), [undefined, 'fd00:1::5'])
  })

  test('of two sandboxes of one pod the living one speaks', () => {
    const [old, fresh] = [leaseOf('c1', '10.0.0.5', { state: 'dying', podUid: 'u' }), leaseOf('c2', '10.0.0.6', { podUid: 'u' })]
    for (const leases of [
      [old, fresh],
      [fresh, old],
    ])
      assert.equal(want({ leases }).pods?.u?.ipv4, '10.0.0.6')
  })

  test('what was reported and is no more is deleted, kept for a while, and kept longer while Node.status names it', () => {
    const present = {
      pods: { u: { podID: 'default/x', ipv4: '10.0.0.5', status: { initial: { lastUpdateTime: '2026-01-01T00:00:00Z' } } } },
    }
    const deleted = { podID: 'default/x', status: { deleted: { lastUpdateTime: '2026-01-02T03:04:05Z' } } }
    assert.deepEqual(want({ present }).pods, { u: deleted })
    const later = { present: { pods: { u: deleted } }, now: now + 6 * 60_000 }
    assert.deepEqual(want(later).pods, {})
    assert.deepEqual(want({ ...later, bound: new Map([['u', 'default/x']]) }).pods, { u: deleted })
  })

  test('of many that are no more only the newest are kept, and whatever Node.status names', () => {
    const entry = (i: number) => ({ podID: `default/p${i}`, status: { deleted: { lastUpdateTime: stamp(now - i * 1000) } } })
    const present = { pods: Object.fromEntries(Array.from({ length: 299 }, (_, i) => [`u${298 - i}`, entry(298 - i)])) }
    const kept = want({ present, bound: new Map([['u290', 'default/p290']]) }).pods ?? {}
    const newest = Array.from({ length: 256 }, (_, i) => `u${i}`)
    assert.deepEqual(new Set(Object.keys(kept)), new Set([...newest, 'u290']))
  })

  test('a bound pod that is gone is reported so; one that lives is not mentioned', () => {
    const bound = new Map([
      ['u1', 'default/gone'],
      ['u2', 'default/here'],
    ])
    assert.deepEqual(Object.keys(want({ bound, gone: id => id === 'default/gone' }).pods ?? {}), ['u1'])
  })
})

describe("the Node CR's spec", () => {
  const node = (spec: NodeSpec): NodeCr => ({
    apiVersion: 'network.alibabacloud.com/v1beta1',
    kind: 'Node',
    metadata: { name: 'n1' },
    spec,
  })
  const meta = { nodeMetadata: { regionID: 'r', instanceType: 't', instanceID: 'i', zoneID: 'zone-a' }, nodeCap: { adapters: 4 } }
  const conf = (change: object = {}) => parseEniConf(JSON.stringify({ ...eniConf, ...change })).conf

  test('is filled, and then left alone', () => {
    const patch = specPatch(node(meta), conf({ eni_tags: { team: 'x' } }), undefined, 'veth')
    const filled = applyMerge(meta, patch) as NodeSpec
    assert.deepEqual(filled.eni?.tag, { team: 'x', creator: 'terway' })
    assert.deepEqual(filled.flavor, [{ networkInterfaceType: 'Secondary', networkInterfaceTrafficMode: 'Standard', count: 3 }])
    assert.equal(filled.datapath?.type, 'veth')
    assert.equal(specPatch(node(filled), conf({ eni_tags: { team: 'x' } }), undefined, undefined), undefined)
  })

  test('has the families of ip_stack', () => {
    const flags = (conf: EniConf) => {
      const { enableIPv4, enableIPv6 } = (specPatch(node(meta), conf, undefined, 'veth') as NodeSpec).eni ?? {}
      return [enableIPv4, enableIPv6]
    }
    assert.deepEqual([conf(), ...stacks.map(ip_stack => conf({ ip_stack }))].map(flags), [
      [true, false],
      [true, false],
      [true, true],
      [false, true],
    ])
  })

  test('a changed configuration changes only what it says, and removes what it says no more', () => {
    const filled = applyMerge(meta, specPatch(node(meta), conf({ eni_tags: { a: '1' }, ip_warm_up_size: 7 }), undefined, 'v2')) as NodeSpec
    const kept = { ...filled, eni: { ...filled.eni, enableIPPrefix: true } as NodeSpec['eni'] }
    assert.deepEqual(specPatch(node(kept as NodeSpec), conf({ eni_tags: { b: '2' }, max_pool_size: 9 }), undefined, 'v2'), {
      eni: { tag: { a: null, b: '2' } },
      pool: { maxPoolSize: 9, warmUpSize: null },
    })
  })

  test('a zone that is not listed gets the vSwitch of the primary ENI, or is refused by name', () => {
    const elsewhere = node({ ...meta, nodeMetadata: { ...meta.nodeMetadata, zoneID: 'zone-z' } })
    assert.throws(() => specPatch(elsewhere, conf(), undefined, 'veth'), /vswitches has no entry for zone zone-z/)
    assert.deepEqual((specPatch(elsewhere, conf(), 'vsw-p', 'veth') as NodeSpec).eni?.vSwitchOptions, ['vsw-p'])
  })
})

describe('adoption', () => {
  const dev = hostIfName('default', 'web', 'eth0')
  const node: NodeCr = {
    apiVersion: 'network.alibabacloud.com/v1beta1',
    kind: 'Node',
    metadata: { name: 'n1' },
    spec: {},
    status: { networkInterfaces: { 'eni-1': nicOf(['10.0.0.1', '10.0.0.2', '10.0.0.3']) } },
  }
  const book = new Book(new LedgerMemory())
  book.commit([{ put: 'lease', lease: leaseOf('known', '10.0.0.2') }])
  const pool = poolView({ node, book, now: 0, coolingFloor: 1, liveWithoutLease: () => false })
  const known = 'caliknown' as IfName
  const stray = 'cali00000000000' as IfName
  const rule = (ip: string) => ({ priority: 512, ip: parseIp(ip), table: 254 }) as const
  const inventory = {
    hostLinks: [dev, known, stray].map((name, index) => ({ name, index, up: true, mtu: 1500 })),
    rules: ['10.0.0.1', '10.0.0.2', '10.0.0.3'].map(rule),
    routes: [
      { ip: parseIp('10.0.0.1'), dev },
      { ip: parseIp('10.0.0.2'), dev: known },
      { ip: parseIp('10.0.0.3'), dev: stray },
    ],
  }
  const input: AdoptInput = {
    inventory,
    leases: book.leases(),
    pool,
    livePods: [podOf()],
    runtime: undefined,
    nodeName: 'n1',
    extraRoutes: [],
    mode: 'shared',
    now: 5,
  }

  test("a live pod's sandbox is adopted, a lease is left alone, the rest is nobody's", () => {
    const { leases, leftovers } = adopt(input)
    assert.deepEqual(
      leases.map(l => [l.containerId, l.owner, l.state, l.podUid, l.attachment.v4?.address]),
      [['adopted-u1', 'grpc', 'held', 'u1', '10.0.0.1']],
    )
    assert.deepEqual(leftovers, {
      hostLinks: [{ name: stray, index: 2, up: true, mtu: 1500 }],
      rules: [rule('10.0.0.3')],
      routes: [{ ip: '10.0.0.3', dev: stray }],
    })
  })

  test('a pod of two families is adopted with both', () => {
    const pair = ['10.0.0.1', 'fd00:1::1'].map(parseIp)
    const both: NodeCr = { ...node, status: { networkInterfaces: { 'eni-1': nicOf(pair) } } }
    const routes = pair.map(ip => ({ ip, dev }))
    const dual = { ...inventory, rules: pair.map(rule), routes }
    const { leases, leftovers } = adopt({
      ...input,
      inventory: dual,
      leases: [],
      pool: poolView({ node: both, book: new Book(new LedgerMemory()), now: 0, coolingFloor: 1, liveWithoutLease: () => false }),
    })
    const [attachment] = leases.map(l => l.attachment)
    assert.deepEqual([attachment?.v4?.address, attachment?.v6?.address], pair)
    assert.equal(attachment?.eni.gateway6, 'fd00:1::ffff:ffff:ffff:fffd')
    assert.deepEqual([leftovers.rules, leftovers.routes], [[], []])
  })

  test('the container is known when NodeRuntime reported the same address', () => {
    const status = { initial: { lastUpdateTime: '2026-01-01T00:00:00Z' } }
    const runtime = { pods: { u1: { podID: 'default/web', status, ipv4: '10.0.0.1', containerID: 'c9' } } }
    assert.equal(adopt({ ...input, runtime }).leases[0]?.containerId, 'c9')
    const other = { pods: { u1: { ...runtime.pods.u1, ipv4: '10.0.0.9' } } }
    assert.equal(adopt({ ...input, runtime: other }).leases[0]?.containerId, 'adopted-u1')
  })

  test('a device that this plugin made says its container, and is ours again when its namespace is found', () => {
    const status = { initial: { lastUpdateTime: '2026-01-01T00:00:00Z' } }
    const runtime = { pods: { u1: { podID: 'default/web', status, ipv4: '10.0.0.1', containerID: 'before' } } }
    const made = (change: object) => ({ ...inventory, hostLinks: [{ name: dev, index: 1, up: true, mtu: 9000, owner: 'c5', ...change }] })
    const unseen = adopt({ ...input, runtime, inventory: made({}) }).leases[0]
    assert.deepEqual([unseen?.containerId, unseen?.owner, unseen?.attachment.netns], ['c5', 'grpc', ''])
    const extraRoutes = [parseCidr('10.9.0.0/16')]
    const found = adopt({ ...input, extraRoutes, inventory: made({ netns: '/run/netns/x' }) }).leases[0]
    assert.deepEqual([found?.containerId, found?.owner, found?.attachment.netns], ['c5', 'cni', '/run/netns/x'])
    assert.deepEqual([found?.attachment.mtu, found?.attachment.extraRoutes], [9000, extraRoutes])
  })

  test('a live pod that we do not serve keeps its network; one on the host network has none of these devices', () => {
    const meta = { annotations: { 'k8s.aliyun.com/pod-eni': 'true' } }
    const theirs = adopt({ ...input, livePods: [podOf({ meta })] })
    assert.deepEqual(theirs.leases, [])
    assert.deepEqual(theirs.leftovers, adopt(input).leftovers)
    const onHost = adopt({ ...input, livePods: [podOf({ spec: { hostNetwork: true } })] })
    assert.ok(onHost.leftovers.hostLinks.some(l => l.name === dev))
  })

  test('a pod that is gone leaves leftovers', () => {
    const { leases, leftovers } = adopt({ ...input, livePods: [] })
    assert.deepEqual(leases, [])
    assert.deepEqual(
      leftovers.hostLinks.map(l => l.name),
      [dev, stray],
    )
  })

  test('an address that is not of this node any more cannot be leased, but its living pod keeps its devices', () => {
    const moved = {
      ...inventory,
      routes: [{ ip: parseIp('10.0.9.9'), dev }],
      rules: [rule('10.0.9.9')],
      hostLinks: [{ name: dev, index: 1, up: true, mtu: 1500 }],
    }
    assert.deepEqual(adopt({ ...input, inventory: moved }), { leases: [], leftovers: { hostLinks: [], rules: [], routes: [] } })
  })
})

describe('flags', () => {
  test("in all of Go's forms", () => {
    assert.deepEqual(parseFlags(['-config', '/a', '--log-level=debug', '-readonly-listen=127.0.0.1:1', '--kubeconfig', 'k']), {
      config: '/a',
      logLevel: 'debug',
      readonlyListen: '127.0.0.1:1',
      kubeconfig: 'k',
      kubeProxyReplacement: false,
    })
  })
  for (const [argv, message] of [
    [['-x'], /-x is not a flag/],
    [['config'], /config is not a flag/],
    [['-config'], /-config needs a value/],
    [['-daemon-mode=VPC'], /-daemon-mode is "VPC"/],
  ] as const) {
    test(argv.join(' '), () => assert.throws(() => parseFlags(argv), message))
  }
})
