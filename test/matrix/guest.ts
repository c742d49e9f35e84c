// SPDX-License-Identifier: Apache-2.0
// Runs in a machine with another kernel, as its only program, and prints what it found. machine.ts starts it.
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import type { ExclusiveEniAttachment, SharedEniAttachment } from '#datapath/attachment.ts'
import { makeDatapath } from '#datapath/engine.ts'
import { hostIfName } from '#datapath/host-if-name.ts'
import type { Datapath } from '#datapath/port.ts'
import { servedPodQuery } from '#datapath/v2/served-pod.ts'
import { attachSockets, detachSockets } from '#datapath/v2/sockets.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { openEvents } from '#kernel/bpf/ring.ts'
import { seenNow } from '#kernel/bpf/seen.ts'
import { dropReasons, namespaceOf, path, serviceScope, serviceWord } from '#kernel/bpf/words.ts'
import { applyAll, observeHost } from '#kernel/host.ts'
import { makeKernel } from '#kernel/kernel.ts'
import { beatOps, endOps, monitorEntries } from '#kernel/monitors.ts'
import { parseIfName, parseNetnsPath } from '#kernel/names.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { BpfProbe, Kernel } from '#kernel/port.ts'
import { realClock } from '#lib/clock.ts'
import { silent } from '#lib/log.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIp, parseIpv4, parseIpv6 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import { entryOp, protocols, serviceOps, type TestService } from '../kernel/bpf-services.ts'

export interface Finding {
  /** Without any file system and without the modules, with the first, and with both. */
  readonly probes: Readonly<Record<'bare' | 'mounted' | 'ready', readonly BpfProbe[]>>
  readonly loadMs: number
  /** What was asked, who the asked ones saw, and which counters moved. */
  readonly exchanges: Readonly<Record<string, Exchange>>
  readonly drops: readonly string[]
  /** Ways of a pod's packets to the world and back, as somebody who looks is told of them. */
  readonly told: readonly string[]
  /** Names of the second ENI's device, in the pod that has it for itself, and on the host when that pod is gone. */
  readonly called: readonly string[]
}
export interface Exchange {
  /** The address that each target has seen, by target: `tcp 10.0.1.12 8080`; empty when it did not answer. */
  readonly seen: Readonly<Record<string, string>>
  readonly ways: readonly string[]
}

const port = 8080
const eni = { eniId: 'eni-1', mac: parseMac('00:16:3e:00:00:01'), gateway4: parseIpv4('10.0.1.253'), gateway6: parseIpv6('fd00:1::fd') }

/** Of a pod that has it for itself. */
const ownEni = { eniId: 'eni-2', mac: parseMac('00:16:3e:00:00:02'), gateway4: parseIpv4('10.0.2.253'), gateway6: parseIpv6('fd00:2::fd') }

const settings = { kind: 'v2', hostStackCidrs: [], serviceCidrs: [], learn: false } as const

const run = (command: string) => execFileSync(command.split(' ')[0] ?? '', command.split(' ').slice(1), { encoding: 'utf8' })

/** The node, an address that somebody elsewhere answers for, and the client outside, who is that somebody as well. */
const node4 = { own: '192.0.2.10', asked: '192.0.2.11', client: '192.0.2.1' }
const node6 = { own: '2001:db8:1::10', asked: '2001:db8:1::11', client: '2001:db8:1::1' }
const nodeMac = '00:16:3e:00:00:00'

/** The node with its own device and two ENIs, whose other ends are the whole world. */
function makeNode(): void {
  run('ip netns add world')
  run(`ip link add eth0 address ${nodeMac} type veth peer name cable address 00:16:3e:00:01:00 netns world`)
  run(`ip link add eth1 address ${eni.mac} type veth peer name wire address 00:16:3e:00:01:01 netns world`)
  run(`ip link add eth2 address ${ownEni.mac} type veth peer name wire2 address 00:16:3e:00:01:02 netns world`)
  for (const link of ['lo', 'eth0']) run(`ip link set ${link} up`)
  for (const link of ['lo', 'cable', 'wire', 'wire2']) run(`ip -n world link set ${link} up`)
  for (const { own, asked, client } of [node4, node6]) {
    const [length, nodad] = own.includes(':') ? ['64', ' nodad'] : ['24', '']
    run(`ip addr add ${own}/${length} dev eth0${nodad}`)
    run(`ip -n world addr add ${client}/${length} dev cable${nodad}`)
    run(`ip route add default via ${client} dev eth0`)
    run(`ip -n world neigh replace ${asked} lladdr ${nodeMac} dev cable nud permanent`)
  }
  for (const address of [`${eni.gateway4}/32`, `${eni.gateway6}/128`, '198.51.100.1/32', '2001:db8:ffff::1/128'])
    run(`ip -n world addr add ${address} dev wire${address.includes(':') ? ' nodad' : ''}`)
  for (const address of [`${ownEni.gateway4}/32`, `${ownEni.gateway6}/128`])
    run(`ip -n world addr add ${address} dev wire2${address.includes(':') ? ' nodad' : ''}`)
  for (const [vSwitch, wire] of [
    [1, 'wire'],
    [2, 'wire2'],
  ]) {
    run(`ip -n world route add 10.0.${vSwitch}.0/24 dev ${wire} src 198.51.100.1`)
    run(`ip -n world -6 route add fd00:${vSwitch}::/64 dev ${wire} src 2001:db8:ffff::1`)
  }
}

/** As in the cloud, the world knows by itself which MAC has a pod's address. */
function makePod(n: number): SharedEniAttachment {
  run(`ip netns add pod${n}`)
  run(`ip -n pod${n} link set lo up`)
  const v4 = { address: parseIpv4(`10.0.1.${n}`), subnet: parseCidr('10.0.1.0/24'), gateway: eni.gateway4 }
  const v6 = { address: parseIpv6(`fd00:1::${n}`), subnet: parseCidr('fd00:1::/64'), gateway: eni.gateway6 }
  for (const { address } of [v4, v6]) run(`ip -n world neigh replace ${address} lladdr ${eni.mac} dev wire nud permanent`)
  const identity = { kind: 'shared-eni', containerId: `container-${n}`, netns: parseNetnsPath(`/run/netns/pod${n}`) } as const
  const devices = { ifName: parseIfName('eth0'), hostIfName: hostIfName('default', `pod${n}`, 'eth0'), mtu: 1500, eni }
  return { ...identity, ...devices, defaultRoute: true, extraRoutes: [], v4, v6 }
}

/** Its ENI's device has its address, so that the world needs not know. */
function makeExclusive(n: number): ExclusiveEniAttachment {
  const v4 = { address: parseIpv4(`10.0.2.${n}`), subnet: parseCidr('10.0.2.0/24'), gateway: ownEni.gateway4 }
  const v6 = { address: parseIpv6(`fd00:2::${n}`), subnet: parseCidr('fd00:2::/64'), gateway: ownEni.gateway6 }
  return { ...makePod(n), kind: 'exclusive-eni', hostRoutes: [], hostPeer: true, eni: ownEni, v4, v6 }
}

/** A pod with an ENI for itself comes and goes. */
async function askExclusive(kernel: Kernel, datapath: Datapath): Promise<Pick<Finding, 'exchanges' | 'called'>> {
  const a = makeExclusive(13)
  await datapath.setup(a)
  const name = (ns: string) => new RegExp(`: (\\S+?)@.* ${ownEni.mac} `).exec(run(`ip ${ns}-o link show`))?.[1] ?? ''
  const inside = name('-n pod13 ')
  await serve('pod13')
  const exchanges = {
    'pod with an ENI to world': await exchange(kernel, 'pod13', '198.51.100.1', '2001:db8:ffff::1'),
    'pod with an ENI to host': await exchange(kernel, 'pod13', node4.own, node6.own),
    'host to pod with an ENI': await exchange(kernel, 'host', '10.0.2.13', 'fd00:2::13'),
  }
  await datapath.withdraw(a)
  return { exchanges, called: [inside, name('')] }
}

async function serve(ns: string): Promise<void> {
  const app = ns === 'host' ? spawn('/terway/app') : spawn('ip', ['netns', 'exec', ns, '/terway/app'])
  app.unref()
  const targets = ['tcp', 'udp'].map(protocol => `${protocol} 127.0.0.1 ${port}`)
  while (Object.values(ask(ns, targets)).includes('')) await new Promise(resolve => setTimeout(resolve, 50))
}

function ask(ns: string, targets: readonly string[]): Record<string, string> {
  const argv = [...(ns === 'host' ? [] : ['ip', 'netns', 'exec', ns]), '/terway/app', 'ask', ...targets]
  // An emulated machine takes its time, and an answer to nobody would be one more packet.
  const env = { ...process.env, ANSWER_SECONDS: '30' }
  const lines = execFileSync(argv[0] ?? '', argv.slice(1), { encoding: 'utf8', env })
    .trim()
    .split('\n')
  return Object.fromEntries(lines.map(line => [line.split('|')[0] ?? '', /client=(\S+)/.exec(line)?.[1] ?? '']))
}

const mostTries = 5

/** Who does not answer is asked again: what takes longest in an emulated machine takes longer than the application waits. */
function askAll(ns: string, targets: readonly string[]): Record<string, string> {
  let seen = ask(ns, targets)
  for (let tries = 1; tries < mostTries; tries++) {
    const silent = targets.filter(target => seen[target] === '')
    if (silent.length === 0) break
    seen = { ...seen, ...ask(ns, silent) }
  }
  return seen
}

async function counters(kernel: Kernel, map: 'paths' | 'drops'): Promise<Map<string, bigint>> {
  const names = Object.entries(map === 'paths' ? path : dropReasons)
  const { key: index, value: counter } = maps[map]
  return new Map(
    (await kernel.mapEntries(map)).map(({ key, value }) => {
      const cpus = Array.from({ length: value.length / counter.size }, (_, i) => value.subarray(i * counter.size, (i + 1) * counter.size))
      const number = index.decode(key).index
      return [names.find(([, n]) => n === number)?.[0] ?? String(number), cpus.reduce((sum, c) => sum + counter.decode(c).packets, 0n)]
    }),
  )
}

async function exchange(kernel: Kernel, from: string, ...addresses: readonly string[]): Promise<Exchange> {
  const before = await counters(kernel, 'paths')
  const seen = askAll(
    from,
    addresses.flatMap(address => [`tcp ${address} ${port}`, `udp ${address} ${port}`]),
  )
  const after = await counters(kernel, 'paths')
  // Neighbour discovery, which moves `none`, may come at any time.
  return { seen, ways: [...after.keys()].filter(name => name !== 'none' && after.get(name) !== before.get(name)).sort() }
}

/** What is told of each packet that passes. */
async function told(kernel: Kernel): Promise<string[]> {
  const own = { at: 0, seen: seenNow(), sample: 1 }
  const look = () => observeHost(kernel, { links: [], families: [], entries: monitorEntries })
  const reader = openEvents()
  await applyAll(kernel, beatOps(await look(), own))
  askAll('pod11', [`tcp 198.51.100.1 ${port}`, `udp 2001:db8:ffff::1 ${port}`])
  const { events } = reader.read()
  reader.close()
  await applyAll(kernel, endOps(await look(), own))
  const ways = new Set(events.map(e => Object.entries(path).find(([, number]) => number === e.path)?.[0] ?? String(e.path)))
  return [...ways].filter(name => name !== 'none').sort()
}

/** In each family and protocol a Service before a pod of the node, which a port of the node leads to as well, and one before somebody elsewhere. */
function services(): KernelOp[] {
  const families = [
    { ...node4, ip: '10.96.0.10', pod: '10.0.1.12' },
    { ...node6, ip: 'fd00:96::10', pod: 'fd00:1::12' },
  ]
  const at = (ip: string) => ({ ip, port })
  return families.flatMap(({ ip, pod, own, asked, client }, family) =>
    Object.values(protocols).flatMap(protocol => {
      const number = 1000 * (family + 1) + protocol
      const ofPod = { number, protocol, frontends: [at(ip), at(own)], backends: [at(pod)] }
      const others = { number: number + 500, protocol, frontends: [at(asked)], backends: [at(client)] }
      return [...serviceOps(ofPod), ...serviceOps(others), outside(ofPod, 1), outside(others, 0)]
    }),
  )
}

/** One of its frontends is for clients outside, too. */
function outside({ number: set, protocol, frontends }: TestService, which: number): KernelOp {
  const { ip = '', port: asked = 0 } = frontends[which] ?? {}
  return entryOp('services', { ip: parseIp(ip), port: asked, protocol, scope: serviceScope.outside }, { set, frontend: set + which })
}

/** A kernel that tells nobody the cookie of a network namespace. */
const withoutCookie = (kernel: Kernel): Pick<Kernel, 'apply' | 'observe'> => ({
  apply: ops => kernel.apply(ops),
  observe: queries => kernel.observe(queries.map(({ cookie: _, ...query }) => query)),
})

/** Services with everything that the kernel has, without programs at sockets, and without cookies. */
async function askServices(kernel: Kernel, datapath: Datapath): Promise<Finding['exchanges']> {
  await applyAll(kernel, [...services(), entryOp('service_states', { index: serviceWord.synced }, { value: 1n })])
  await datapath.setNode({ ...settings, services: { natPortFirst: 61000, natPortLast: 61255 } }, [])
  const byNode = await exchange(kernel, 'host', '10.96.0.10', 'fd00:96::10')
  await detachSockets(kernel)
  const found = {
    'pod to Service': await exchange(kernel, 'pod11', '10.96.0.10', 'fd00:96::10'),
    'pod to itself': await exchange(kernel, 'pod12', '10.96.0.10', 'fd00:96::10'),
    'world to NodePort': await exchange(kernel, 'world', node4.own, node6.own),
    'world to another node': await exchange(kernel, 'world', node4.asked, node6.asked),
  }
  await attachSockets(withoutCookie(kernel), (await kernel.loadPrograms()).generation)
  const withoutCookies = await exchange(kernel, 'host', '10.96.0.10', 'fd00:96::10')
  await nameNamespace(kernel, 'pod12')
  const bySockets = await exchange(kernel, 'pod12', '10.96.0.10', 'fd00:96::10')
  return { 'host to Service': byNode, ...found, 'host without cookies': withoutCookies, 'pod to itself by its sockets': bySockets }
}

/** As of a pod that has an ENI for itself: the kernel tells the cookie, or a program does. */
async function nameNamespace(kernel: Kernel, pod: string): Promise<void> {
  const [seen] = await kernel.observe([{ ns: parseNetnsPath(`/run/netns/${pod}`), links: [], families: [], ...servedPodQuery }])
  if (seen?.cookie === undefined) return
  await applyAll(kernel, [entryOp('namespaces', { cookie: seen.cookie }, { translated: namespaceOf.pod })])
}

async function probeEach(kernel: Kernel): Promise<Finding['probes']> {
  const bare = await kernel.probePrograms()
  run('mount -t bpf bpf /sys/fs/bpf')
  run('mount -t cgroup2 none /sys/fs/cgroup')
  const mounted = await kernel.probePrograms()
  for (const module of readdirSync('/modules').sort()) run(`insmod /modules/${module}`)
  return { bare, mounted, ready: await kernel.probePrograms() }
}

async function find(): Promise<Finding> {
  mkdirSync('/run/netns', { recursive: true })
  const kernel = await makeKernel({})
  const datapath = makeDatapath(kernel, { clock: realClock, log: silent })
  const probes = await probeEach(kernel)
  makeNode()
  const started = performance.now()
  await datapath.setNode(settings, [])
  const loadMs = Math.round(performance.now() - started)
  for (const n of [11, 12]) await datapath.setup(makePod(n))
  await Promise.all(['host', 'world', 'pod11', 'pod12'].map(serve))
  const exchanges = {
    'pod to world': await exchange(kernel, 'pod11', '198.51.100.1', '2001:db8:ffff::1'),
    'world to pod': await exchange(kernel, 'world', '10.0.1.11', 'fd00:1::11'),
    'pod to pod': await exchange(kernel, 'pod11', '10.0.1.12', 'fd00:1::12'),
    'pod to host': await exchange(kernel, 'pod11', '192.0.2.10', '2001:db8:1::10'),
    'host to pod': await exchange(kernel, 'host', '10.0.1.12', 'fd00:1::12'),
  }
  const ways = await told(kernel)
  const { called, ...exclusive } = await askExclusive(kernel, datapath)
  const service = await askServices(kernel, datapath)
  const drops = [...(await counters(kernel, 'drops'))].filter(([, packets]) => packets > 0n).map(([name]) => name)
  return { probes, loadMs, exchanges: { ...exchanges, ...exclusive.exchanges, ...service }, drops, told: ways, called }
}

console.log(`FOUND ${JSON.stringify(await find())}`)
process.exit(0)
