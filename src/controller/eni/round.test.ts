// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloudError } from '#cloud/errors.ts'
import type { Cloud, Eni, EniStatus } from '#cloud/port.ts'
import { makeThrottle } from '#cloud/throttle.ts'
import { decisions, defaultControllerOptions, noObserver } from '#controller/deps.ts'
import { NodeRounds } from '#controller/eni/round.ts'
import { usualTimes } from '#controller/eni/usual.ts'
import { creatorTag } from '#controller/tags.ts'
import { makeVSwitchCache } from '#controller/vswitch/cache.ts'
import { localBindingAnnotation, localBindingVersion } from '#ipam/release.ts'
import { eniModeLabel, type Nic, type NodeCr, nodeCrs } from '#kube/crd/node.ts'
import type { NodeRuntime } from '#kube/crd/node-runtime.ts'
import { type Node, nodes } from '#kube/reflect/node.ts'
import type { Pod } from '#kube/reflect/pod.ts'
import { realClock } from '#lib/clock.ts'
import { silent } from '#lib/log.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIpv4, parseIpv6 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import type { Stack } from '#net/stack.ts'
import { KubeModel } from '../../../test/support/kube-model.ts'

const start = Date.parse('2026-01-01T00:00:00Z')
const annotations = { [localBindingAnnotation]: localBindingVersion }
const subnet = { 'eni-1': '10.0.1', 'eni-2': '10.0.2' }
const ipsOf = (id: keyof typeof subnet, count: number) => Array.from({ length: count }, (_, n) => parseIpv4(`${subnet[id]}.${n + 1}`))

function nic(id: keyof typeof subnet, status: string, count: number): Nic {
  const ipv4 = Object.fromEntries(ipsOf(id, count).map((ip, n) => [ip, { ip, primary: n === 0, status: 'Valid' as const }]))
  return { id, status, vSwitchID: 'vsw-a', networkInterfaceType: 'Secondary', networkInterfaceTrafficMode: 'Standard', ipv4 }
}

function described(id: keyof typeof subnet, status: EniStatus, count: number): Eni {
  const ipv4 = ipsOf(id, count)
  const [primaryIp = parseIpv4('10.0.0.1')] = ipv4
  return {
    id,
    status,
    type: 'Secondary',
    trafficMode: 'Standard',
    mac: parseMac('02:00:00:00:00:01'),
    vSwitchId: 'vsw-a',
    zoneId: 'a',
    securityGroupIds: [],
    primaryIp,
    ipv4,
    ipv6: [],
    ipv4Prefixes: [],
    ipv6Prefixes: [],
    tags: [creatorTag],
    instanceId: 'i-1',
  }
}

interface Setting {
  readonly stack?: Stack
  readonly ipv6PerAdapter?: number
  readonly warmUpSize?: number
}

/** One node of an instance type with two ENIs of six addresses; its pool may keep one idle, and is adjusted every ten seconds. */
class Stage {
  time = 0
  readonly model = new KubeModel(realClock)
  readonly calls: string[] = []
  readonly lines: string[] = []
  readonly enis = new Map<string, Eni>()
  pods: readonly Pod[] = []
  runtime: NodeRuntime | undefined = {
    apiVersion: 'network.alibabacloud.com/v1beta1',
    kind: 'NodeRuntime',
    metadata: { name: 'n', annotations },
    spec: {},
  }
  /** vSwitches that have no address left, whatever their count says. */
  readonly empty = new Set<string>()
  readonly #node: Node
  readonly #rounds: NodeRounds

  /** The error code that IPv6 addresses are refused with. */
  refuse6: string | undefined

  constructor(
    vSwitchOptions: readonly string[],
    nics: readonly Nic[],
    { stack = 'ipv4', ipv6PerAdapter = 0, warmUpSize = 0 }: Setting = {},
  ) {
    this.#node = this.model.put(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n' }, spec: {} })
    this.model.put(nodeCrs, {
      apiVersion: 'network.alibabacloud.com/v1beta1',
      kind: 'Node',
      metadata: { name: 'n', annotations },
      spec: {
        nodeMetadata: { regionID: 'r', zoneID: 'a', instanceType: 't', instanceID: 'i-1' },
        nodeCap: { adapters: 3, ipv4PerAdapter: 6, ipv6PerAdapter },
        eni: {
          vSwitchOptions,
          securityGroupIDs: ['sg-1'],
          vSwitchSelectPolicy: 'ordered',
          enableIPv4: stack !== 'ipv6',
          enableIPv6: stack !== 'ipv4',
        },
        pool: { maxPoolSize: 1, minPoolSize: 0, poolSyncPeriod: '10s', warmUpSize },
      },
      status: {
        nextSyncOpenAPITime: new Date(start + 3_600_000).toISOString(),
        networkInterfaces: Object.fromEntries(nics.map(n => [n.id, n])),
      },
    })
    const clock = { ...realClock, now: () => this.time, wall: () => start + this.time }
    const cloud = this.#cloud()
    const log = { ...silent, info: (_: object, text: string) => this.lines.push(text) } as unknown as typeof silent
    const deps = {
      kube: this.model.client('cp'),
      cloudFor: () => cloud,
      throttle: makeThrottle(realClock),
      clock,
      log,
      observer: noObserver,
      decisions,
    }
    const view = {
      synced: Promise.resolve(),
      node: () => this.#node,
      nodeCr: () => undefined,
      runtime: () => this.runtime,
      podsOn: () => this.pods,
      names: () => ['n'],
      stop: () => undefined,
    }
    const options = { ...defaultControllerOptions, clusterId: 'c', vpcId: 'vpc' }
    const vSwitches = makeVSwitchCache(cloud, clock)
    this.#rounds = new NodeRounds('n', { deps, options, view, vSwitches, usual: usualTimes(), assertLeader: () => undefined })
  }

  /** One round at `time`, in milliseconds; answers when the next one is due. */
  async round(time: number): Promise<number | undefined> {
    this.time = time
    const cr = await this.#rounds.record.load(undefined)
    assert.ok(cr !== undefined)
    return (await this.#rounds.run(cr)).again
  }

  get cr(): NodeCr {
    const cr = this.model.read(nodeCrs, 'n')
    assert.ok(cr !== undefined)
    return cr
  }

  /** The daemon acknowledges every mark. */
  ack(): void {
    const marked = Object.values(this.cr.status?.networkInterfaces ?? {}).flatMap(n => Object.values(n.ipv4 ?? {}))
    const releases = Object.fromEntries(
      marked.flatMap(a =>
        a.releaseNonce === undefined
          ? []
          : [[a.ip, { nonce: a.releaseNonce, answer: 'acked' as const, lastUpdateTime: '2026-01-01T00:00:00Z' }]],
      ),
    )
    assert.ok(this.runtime)
    this.runtime = { ...this.runtime, status: { releases } }
  }

  move(id: keyof typeof subnet, status: EniStatus, count: number): void {
    this.enis.set(id, described(id, status, count))
  }

  /** Rounds from `from` to `to`, each when the one before asked for it. */
  async rounds(from: number, to: number): Promise<void> {
    for (let time = from; time < to; ) time += Math.max(1, (await this.round(time)) ?? to)
  }

  #give<Family extends 'ipv4' | 'ipv6'>(
    id: string,
    family: Family,
    ip: (n: number) => Eni[Family][number],
    count: number,
  ): Eni[Family][number][] {
    const eni = this.enis.get(id)
    assert.ok(eni !== undefined)
    const fresh = Array.from({ length: count }, (_, n) => ip(eni[family].length + n))
    this.enis.set(id, { ...eni, [family]: [...eni[family], ...fresh] })
    return fresh
  }

  sufficient(): string | undefined {
    return this.model.read(nodes, 'n')?.status?.conditions?.find(c => c.type === 'SufficientIP')?.status
  }

  #cloud(): Cloud {
    const done = (what: string) => {
      this.calls.push(what)
      return Promise.resolve()
    }
    const unexpected = (): never => assert.fail('a call that this test does not know')
    return {
      describeEnis: r => Promise.resolve([...this.enis.values()].filter(e => r.ids?.includes(e.id) ?? true)),
      describeVSwitch: id =>
        Promise.resolve({ id, zoneId: 'a', availableIpCount: 100, cidr4: parseCidr('10.0.0.0/16'), cidr6: parseCidr('fd00::/64') }),
      detachEni: r => done(`detach ${r.eniId}`),
      deleteEni: id => done(`delete ${id}`),
      unassignIpv4: r => done(`unassign ${r.addresses.join(' ')}`),
      createEni: r => {
        this.calls.push(`create in ${r.vSwitchId}`)
        if (!this.empty.has(r.vSwitchId)) return Promise.resolve(described('eni-2', 'Available', r.ipv4Count))
        return Promise.reject(new CloudError('CreateNetworkInterface', 'InvalidVSwitchId.IpNotEnough', 'no address left'))
      },
      attachEni: unexpected,
      assignIpv4: ({ eniId, count }) => {
        this.calls.push(`assign ${count} IPv4`)
        return Promise.resolve(this.#give(eniId, 'ipv4', n => parseIpv4(`10.0.1.${n + 1}`), count))
      },
      assignIpv6: ({ eniId, count }) => {
        this.calls.push(`assign ${count} IPv6`)
        if (this.refuse6 !== undefined)
          return Promise.reject(new CloudError('AssignIpv6Addresses', this.refuse6, 'no', { httpStatus: 403 }))
        return Promise.resolve(this.#give(eniId, 'ipv6', n => parseIpv6(`fd00::${n + 1}`), count))
      },
      unassignIpv6: unexpected,
      describeInstanceTypes: unexpected,
      instanceExists: unexpected,
    }
  }
}

test('a pool shrinks in as many steps as the cloud needs, and the log says each', async () => {
  const s = new Stage(['vsw-a'], [nic('eni-1', 'InUse', 6)])
  s.move('eni-1', 'InUse', 6)
  await s.round(40_000)
  await s.round(50_000)
  assert.equal(s.cr.status?.networkInterfaces?.['eni-1']?.status, 'Deleting')
  s.ack()
  assert.ok(((await s.round(50_100)) ?? 0) <= 3_000)
  // The cloud detaches: one call is enough. As soon as that is seen, the deletion follows, however recently the ENI was asked to go.
  s.move('eni-1', 'Detaching', 6)
  await s.round(51_000)
  s.move('eni-1', 'Available', 6)
  await s.round(52_000)
  s.enis.delete('eni-1')
  await s.round(53_000)
  assert.deepEqual(s.calls, ['detach eni-1', 'delete eni-1'])
  assert.deepEqual(s.cr.status?.networkInterfaces, {})
  assert.deepEqual(s.lines, [
    'ENI eni-1 is to go, with 6 addresses: the daemon is asked',
    'the daemon answered for ENI eni-1: 6 acked, 0 refused, 0 still open',
    'detaching of ENI eni-1 is asked for',
    'deletion of ENI eni-1 is asked for',
    'ENI eni-1 is gone',
  ])
})

test('an adjustment that falls on an attachment is made when that is over, not a period later', async () => {
  const s = new Stage(['vsw-a'], [nic('eni-1', 'InUse', 6), nic('eni-2', 'Attaching', 1)])
  s.move('eni-2', 'Attaching', 1)
  await s.round(40_000)
  const again = (await s.round(50_000)) ?? 0
  assert.ok(again > 0 && again <= 2_000, `looked at again in ${again} ms`)
  s.move('eni-2', 'InUse', 1)
  await s.round(51_000)
  assert.equal(s.lines.length, 0)
  await s.round(52_000)
  assert.ok(s.lines.includes('ENI eni-2 is to go, with 1 addresses: the daemon is asked'), s.lines.join('\n'))
  assert.ok(((await s.round(52_100)) ?? 0) <= 10_000)
})

test('a vSwitch that turns out empty is left for another one at once; the condition says when there is none', async () => {
  const s = new Stage(['vsw-a', 'vsw-b'], [])
  s.empty.add('vsw-a').add('vsw-b')
  s.pods = [{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'd', uid: 'u' }, spec: { nodeName: 'n' } }]
  assert.equal(await s.round(40_000), 0)
  assert.equal(s.sufficient(), 'True')
  assert.equal(await s.round(40_010), 0)
  await s.round(40_020)
  assert.deepEqual(s.calls, ['create in vsw-a', 'create in vsw-b'])
  assert.equal(s.sufficient(), 'False')
})

const pod: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'd', uid: 'u' }, spec: { nodeName: 'n' } }
const report = (announces: boolean): NodeRuntime => ({
  apiVersion: 'network.alibabacloud.com/v1beta1',
  kind: 'NodeRuntime',
  metadata: { name: 'n', ...(announces ? { annotations } : {}) },
  spec: {},
})

test('who binds follows the announcement, and stays as agreed while there is no report', async () => {
  const s = new Stage(['vsw-a'], [nic('eni-1', 'InUse', 2)])
  s.move('eni-1', 'InUse', 2)
  s.pods = [pod]
  const bound = () => Object.values(s.cr.status?.networkInterfaces?.['eni-1']?.ipv4 ?? {}).map(a => a.podID)
  const answered = () => s.cr.metadata.annotations?.[localBindingAnnotation]

  s.runtime = undefined
  await s.round(40_000)
  assert.deepEqual([answered(), bound()], [localBindingVersion, [undefined, undefined]], 'agreed before: the daemon binds')

  s.runtime = report(false)
  await s.round(41_000)
  assert.deepEqual([answered(), bound()], [undefined, ['d/p', undefined]], "Terway's daemon: the controller binds")
  s.runtime = undefined
  await s.round(42_000)
  assert.deepEqual([answered(), bound()], [undefined, ['d/p', undefined]])

  // The daemon that takes over must see the binding until it has reported the pod itself.
  s.runtime = report(true)
  await s.round(43_000)
  assert.deepEqual([answered(), bound()], [localBindingVersion, ['d/p', undefined]])
  const [first] = ipsOf('eni-1', 1)
  s.runtime = {
    ...s.runtime,
    status: { pods: { u: { podID: 'd/p', ipv4: first ?? '', status: { initial: { lastUpdateTime: '2026-01-01T00:00:50Z' } } } } },
  }
  await s.round(50_000)
  assert.deepEqual(bound(), ['d/p', undefined])
  s.pods = []
  s.runtime = { ...s.runtime, status: { pods: { u: { podID: 'd/p', status: { deleted: { lastUpdateTime: '2026-01-01T00:00:55Z' } } } } } }
  await s.round(60_000)
  assert.deepEqual(bound(), [undefined, undefined])
})

/** A node in dual stack with one ENI that has its primary address only, held by nobody. */
function dual(setting: Setting = {}, ipv6: NonNullable<Nic['ipv6']> = {}): Stage {
  const s = new Stage(['vsw-a'], [{ ...nic('eni-1', 'InUse', 1), ipv6CIDR: 'fd00::/64', ipv6 }], {
    stack: 'dual',
    ipv6PerAdapter: 6,
    ...setting,
  })
  s.move('eni-1', 'InUse', 1)
  return s
}
const podsOf = (count: number): readonly Pod[] =>
  Array.from({ length: count }, (_, n) => ({ ...pod, metadata: { ...pod.metadata, name: `p-${n}`, uid: `u-${n}` } }))
const sizes = (s: Stage) => {
  const { ipv4, ipv6 } = s.cr.status?.networkInterfaces?.['eni-1'] ?? {}
  return [Object.keys(ipv4 ?? {}).length, Object.keys(ipv6 ?? {}).length]
}

test('a vSwitch without IPv6 addresses is asked once in ten seconds, and only for what is missing', async () => {
  const s = dual()
  s.refuse6 = 'InvalidVSwitchId.IpNotEnough'
  s.pods = podsOf(3)
  await s.rounds(40_000, 99_000)
  const [first, second, ...others] = s.calls
  assert.deepEqual([first, second], ['assign 2 IPv4', 'assign 3 IPv6'])
  assert.ok(others.length >= 4 && others.length <= 5 && others.every(c => c === 'assign 3 IPv6'), s.calls.join('\n'))
  assert.equal(s.sufficient(), 'False')
  assert.match(s.cr.status?.networkInterfaces?.['eni-1']?.conditions?.InsufficientIP?.message ?? '', /no free IPv6 address/)
  s.refuse6 = undefined
  await s.rounds(100_000, 115_000)
  assert.deepEqual(sizes(s), [3, 3])
  assert.equal(s.sufficient(), 'True')
})

test('IPv6 addresses that are refused for another reason: the IPv4 ones are recorded, and growth rests longer and longer', async () => {
  const s = dual()
  s.refuse6 = 'InvalidVSwitch.Ipv6NotTurnOn'
  s.pods = podsOf(3)
  await s.rounds(40_000, 100_000)
  assert.deepEqual(sizes(s), [3, 0])
  assert.deepEqual(
    s.calls.filter(c => c.endsWith('IPv4')),
    ['assign 2 IPv4'],
  )
  assert.ok(s.calls.length <= 8, s.calls.join('\n'))
})

test('an instance type with fewer addresses of one family is told once', async () => {
  const s = dual({ ipv6PerAdapter: 2 })
  await s.rounds(40_000, 100_000)
  const told = s.model.events.filter(e => e.reason === 'DualStackLimited')
  assert.deepEqual(
    told.map(e => [e.type, e.about.kind, e.message.slice(0, 55)]),
    [['Warning', 'Node', 'instance type t has 6 IPv4 and 2 IPv6 addresses per ENI']],
  )
})

test('warm-up counts a pair when its second half has come', async () => {
  const s = dual({ warmUpSize: 3 })
  s.refuse6 = 'InvalidVSwitchId.IpNotEnough'
  await s.round(40_000)
  assert.deepEqual([s.cr.status?.warmUpAllocatedCount, sizes(s)], [0, [3, 0]])
  s.refuse6 = undefined
  await s.rounds(51_000, 55_000)
  assert.deepEqual([s.cr.status?.warmUpAllocatedCount, s.cr.status?.warmUpCompleted, sizes(s)], [3, true, [3, 3]])
})

test('an address that another controller has spelled differently stays the same address', async () => {
  const entry = { ip: 'FD00::0A', primary: false, status: 'Valid' as const, podID: 'd/p', podUID: 'u' }
  const s = dual({}, { 'FD00::0A': entry })
  s.enis.set('eni-1', { ...described('eni-1', 'InUse', 1), ipv6: [parseIpv6('fd00::a')] })
  s.pods = [pod]
  const found = () => s.cr.status?.networkInterfaces?.['eni-1']?.ipv6
  await s.round(40_000)
  assert.deepEqual(found(), { 'fd00::a': { ...entry, ip: 'fd00::a' } })
  await s.round(3_700_000)
  assert.deepEqual(found(), { 'fd00::a': { ...entry, ip: 'fd00::a' } }, 'compared with the cloud')
})

test('where each pod has an ENI a daemon that leaves binding to the controller gets none, and an event says so', async () => {
  const s = new Stage(['vsw-a'], [])
  const { metadata, ...cr } = s.cr
  s.model.put(nodeCrs, { ...cr, metadata: { ...metadata, annotations: {}, labels: { [eniModeLabel]: 'eniOnly' } } })
  s.pods = [pod]
  const announcing = s.runtime
  s.runtime = undefined
  await s.round(40_000)
  const told = () => s.model.events.filter(e => e.reason === 'AllocIPFailed').map(e => e.message)
  assert.deepEqual([s.calls, told()], [[], []], 'nothing is known of the daemon yet')
  s.runtime = { apiVersion: 'network.alibabacloud.com/v1beta1', kind: 'NodeRuntime', metadata: { name: 'n' }, spec: {} }
  await s.rounds(41_000, 80_000)
  assert.deepEqual(s.calls, [])
  assert.match(told().join(), /^the terwayd of node n leaves it to the controller/)
  s.runtime = announcing
  await s.round(80_000)
  assert.deepEqual(s.calls, ['create in vsw-a'])
})
