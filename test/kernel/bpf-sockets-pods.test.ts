// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { cutSockets } from '#datapath/v2/cut-sockets.ts'
import { namespaceSweep, servedPodQuery } from '#datapath/v2/served-pod.ts'
import { attachSockets } from '#datapath/v2/sockets.ts'
import { namespaceKeyOf } from '#kernel/bpf/maps.ts'
import { backendState, mode, namespaceOf } from '#kernel/bpf/words.ts'
import { findCgroupRoot } from '#kernel/cgroup.ts'
import { modeOp } from '#kernel/mode.ts'
import { type NetnsPath, parseNetnsPath } from '#kernel/names.ts'
import { NetlinkConn } from '#kernel/netlink/conn.ts'
import { closeNetns, openOwnNetns } from '#kernel/netns.ts'
import type { Kernel } from '#kernel/port.ts'
import type { NsState } from '#kernel/state.ts'
import { learnCookie } from '#kernel/worker/cookie.ts'
import { KeptFiles } from '#kernel/worker/kept-files.ts'
import { Namespaces } from '#kernel/worker/namespaces.ts'
import { Pinned } from '#kernel/worker/pinned.ts'
import { Sockets } from '#kernel/worker/sockets.ts'
import { parseIp, parseIpv4, parseIpv6, withPort } from '#net/ip.ts'
import { bpfObject } from '../../tools/bpf/compile.ts'
import { until } from '../support/until.ts'
import { applied, BpfLab, run } from './bpf-lab.ts'
import { entryOp, protocols, serviceOps, setOps, type TestService } from './bpf-services.ts'
import type { Protocol } from './bpf-sockets-actor.ts'
import { Actor, addNamespace, programsAtSockets, small, TestCgroup } from './bpf-sockets-lab.ts'

/**
 * Sockets of pods that have a device of their own, whose packets meet no program. The Service's address is on each pod's loopback: whoever is not
 * translated is answered by `nobody`. At the node's port of the Service each pod has a server of its own on its loopback.
 */
const families = {
  4: { service: '10.96.0.10', node: '192.0.2.1', loopback: '127.0.0.1', backends: ['192.0.2.2', '192.0.2.3'] },
  6: { service: 'fd00:96::10', node: '2001:db8::1', loopback: '::1', backends: ['2001:db8::2', '2001:db8::3'] },
} as const
const pods = [
  { ns: `tbpf${process.pid}-pod1`, n: 1, 4: '198.51.100.1', 6: '2001:db8:a::1', by4: '198.51.100.254', by6: '2001:db8:a::fe' },
  { ns: `tbpf${process.pid}-pod2`, n: 2, 4: '203.0.113.1', 6: '2001:db8:b::1', by4: '203.0.113.254', by6: '2001:db8:b::fe' },
] as const
const [port, nodePort, backendPort, ownPort] = [80, 30080, 8080, 8081]
const kinds: readonly Protocol[] = ['tcp', 'udp', 'udp-connected']
const cgroup = new TestCgroup('pods')
const paths: readonly NetnsPath[] = pods.map(p => parseNetnsPath(`/run/netns/${p.ns}`))
const [path1 = parseNetnsPath('/'), path2 = parseNetnsPath('/')] = paths
let lab: BpfLab
let kernel: Kernel
let node: Actor
let pod1: Actor
let pod2: Actor
const actors: Actor[] = []

before(async () => {
  lab = new BpfLab()
  lab.use(programsAtSockets(bpfObject()))
  kernel = await lab.kernel({ cgroup: cgroup.directory })
  lab.ip(lab.peer, 'addr add 192.0.2.3/24 dev p0')
  for (const backend of families[6].backends) lab.ip(lab.peer, `addr add ${backend}/64 dev p0 nodad`)
  lab.ip(lab.host, `addr add ${families[6].node}/64 dev d0 nodad`)
  for (const p of pods) addPod(p)
  const made = [lab.host, pods[0].ns, pods[1].ns].map(actor)
  ;[node, pod1, pod2] = made as [Actor, Actor, Actor]
  const world = actor(lab.peer)
  for (const f of Object.values(families)) {
    for (const [i, backend] of f.backends.entries()) await world.serve(`backend ${i}`, backend, backendPort)
    for (const a of [pod1, pod2]) {
      await a.serve('nobody', f.service, port)
      await a.serve('its own', f.loopback, nodePort)
    }
  }
  for (const v of [4, 6] as const) await pod1.serve('itself', pods[0][v], ownPort)
})
after(async () => {
  for (const a of actors) await a.close()
  for (const { ns } of pods) if (existsSync(`/run/netns/${ns}`)) run('ip', 'netns', 'del', ns)
  await lab.close()
  await until(() => cgroup.isEmpty)
  cgroup.remove()
})

function actor(ns: string): Actor {
  const made = new Actor(ns, cgroup)
  actors.push(made)
  return made
}

/** A namespace with a device of its own, by which it reaches the backends. */
function addPod({ ns, n, 4: ip4, 6: ip6, by4, by6 }: (typeof pods)[number]): void {
  addNamespace(ns)
  lab.ip(lab.host, `link set d${n} netns ${ns}`)
  lab.ip(ns, `link set d${n} up`)
  lab.ip(ns, `addr add ${ip4}/24 dev d${n}`)
  lab.ip(ns, `addr add ${ip6}/64 dev d${n} nodad`)
  lab.ip(lab.peer, `addr add ${by4}/24 dev p${n}`)
  lab.ip(lab.peer, `addr add ${by6}/64 dev p${n} nodad`)
  lab.ip(ns, `route add default via ${by4}`)
  lab.ip(ns, `route add default via ${by6}`)
  for (const f of Object.values(families)) lab.ip(ns, `addr add ${f.service} dev lo`)
}

beforeEach(async () => {
  const { generation } = await kernel.loadPrograms(small)
  const addresses = { address4: parseIpv4(families[4].node), address6: parseIpv6(families[6].node) }
  await applied(kernel, [entryOp('node_configs', { index: 0 }, addresses), ...services().flatMap(serviceOps), modeOp(mode.service)])
  await attachSockets(kernel, generation)
})
afterEach(() => kernel.unloadPrograms())

/** One Service, which is one for each family and protocol. */
function services(more: (v: 4 | 6) => Partial<TestService> = () => ({})): TestService[] {
  return ([4, 6] as const).flatMap(v => {
    const { service, node: address, backends } = families[v]
    return Object.values(protocols).map(protocol => ({
      number: numberOf(v, protocol),
      protocol,
      frontends: [
        { ip: service, port },
        { ip: address, port: nodePort },
      ],
      backends: backends.map(ip => ({ ip, port: backendPort })),
      ...more(v),
    }))
  })
}

function numberOf(family: 4 | 6, protocol: number): number {
  return 100 * family + 2 * protocol
}

async function seen(ns: NetnsPath): Promise<Pick<NsState, 'entries'> & { readonly cookie: bigint }> {
  const [state] = await kernel.observe([{ ns, links: [], families: [], ...servedPodQuery }])
  assert.ok(state?.cookie !== undefined)
  return { cookie: state.cookie, entries: state.entries }
}

/** The programs know these pods. */
async function name(...of: readonly NetnsPath[]): Promise<void> {
  for (const ns of of) {
    const { cookie } = await seen(ns)
    await applied(kernel, [entryOp('namespaces', { cookie }, { translated: namespaceOf.pod })])
  }
}

async function assertTranslated(from: Actor): Promise<void> {
  for (const protocol of kinds) {
    for (const { service, node: address } of Object.values(families)) {
      for (const [host, at] of [
        [service, port],
        [address, nodePort],
      ] as const) {
        const answer = await from.ask(protocol, host, at)
        assert.match(answer.name, /^backend [01]$/, `${protocol} ${host}`)
        assert.equal(answer.peer, withPort(host, at), protocol)
      }
    }
    const mapped = `::ffff:${families[4].service}`
    assert.deepEqual((await from.ask(protocol, mapped, port)).peer, withPort(mapped, port))
  }
}

async function assertUntouched(from: Actor): Promise<void> {
  for (const protocol of kinds) {
    for (const { service } of Object.values(families))
      assert.deepEqual(await from.ask(protocol, service, port), { name: 'nobody', peer: withPort(service, port) })
  }
}

test("sockets of a pod reach backends, and see the Service; another pod's are left alone", async () => {
  await assertUntouched(pod1)
  await name(path1)
  await assertTranslated(pod1)
  await assertUntouched(pod2)
})

test("a pod's loopback is its own, where the node's has the ports of the node", async () => {
  await name(path1)
  const loopbacks = [families[4].loopback, `::ffff:${families[4].loopback}`, families[6].loopback]
  for (const protocol of kinds) {
    for (const host of loopbacks) {
      assert.deepEqual(await pod1.ask(protocol, host, nodePort), { name: 'its own', peer: withPort(host, nodePort) })
      assert.match((await node.ask(protocol, host, nodePort)).name, /^backend [01]$/)
    }
  }
})

test('with affinity each pod is a client by itself, and so is the node', async () => {
  await name(path1, path2)
  const slots = (set: number) =>
    [0, 1].map(i => entryOp('backend_slots', { set, slot: 0x80000000 + 10 * set + i }, { backend: 10 * set + i }))
  await applied(
    kernel,
    services(() => ({ affinitySeconds: 60 })).flatMap(s => [...serviceOps(s), ...slots(s.number)]),
  )
  for (const who of [pod1, pod2, node]) {
    for (const protocol of kinds) {
      for (const { service } of Object.values(families)) {
        const names = new Set<string>()
        for (let i = 0; i < 20; i++) names.add((await who.ask(protocol, service, port)).name)
        assert.equal(names.size, 1, protocol)
      }
    }
  }
  // Two families, two protocols, three clients.
  assert.equal((await kernel.mapEntries('affinities')).length, 12)
})

test('a pod that is its own backend answers itself, and sees the Service', async () => {
  await name(path1)
  await applied(kernel, services(v => ({ backends: [{ ip: pods[0][v], port: ownPort }] })).flatMap(serviceOps))
  for (const protocol of kinds) {
    for (const { service } of Object.values(families))
      assert.deepEqual(await pod1.ask(protocol, service, port), { name: 'itself', peer: withPort(service, port) })
  }
})

test('a connected socket of UDP in a pod learns that its backend is gone; nobody else is cut', async () => {
  await name(path1)
  for (const [family, { service, backends }] of [
    [4, families[4]],
    [6, families[6]],
  ] as const) {
    const set = numberOf(family, protocols.udp)
    await applied(kernel, services().flatMap(serviceOps))
    const cut = await pod1.open('udp-connected', service, port)
    const lost = Number((await cut.ask()).name.at(-1))
    const open = await Promise.all([
      pod1.open('udp-connected', backends[lost] ?? '', backendPort),
      pod1.open('udp', service, port),
      pod2.open('udp-connected', backends[lost] ?? '', backendPort),
      node.open('udp-connected', backends[lost] ?? '', backendPort),
    ])
    for (const other of open) await other.ask()
    const gone = { ip: parseIp(backends[lost] ?? ''), port: backendPort }
    const draining = entryOp('backends', { backend: 10 * set + lost }, { ...gone, protocol: protocols.udp, state: backendState.draining })
    await applied(kernel, [...setOps(set, [1 - lost]), draining])
    assert.equal(await cutSockets(kernel, [gone]), 0)
    assert.equal(await cutSockets(kernel, [gone], [...paths, parseNetnsPath('/run/netns/of-nobody')]), 1)
    await assert.rejects(cut.ask(), /ECONNABORTED/)
    assert.equal((await pod1.ask('udp-connected', service, port)).name, `backend ${1 - lost}`)
    assert.equal(await cutSockets(kernel, [gone], paths), 0)
    for (const other of open) await other.ask()
    for (const other of [cut, ...open]) await other.close()
  }
})

test('a look at a pod tells whether it is translated; what is swept is translated no more', async () => {
  assert.deepEqual((await seen(path1)).entries, [])
  await name(path1, path2)
  assert.deepEqual(
    (await seen(path1)).entries.map(e => e.key),
    [namespaceKeyOf((await seen(path1)).cookie)],
  )
  assert.equal((await namespaceSweep(kernel, paths)).length, 0)
  await applied(kernel, await namespaceSweep(kernel, [path2, parseNetnsPath('/run/netns/of-nobody')]))
  await assertUntouched(pod1)
  await assertTranslated(pod2)
  assert.match((await node.ask('tcp', families[4].service, port)).name, /^backend/)
})

test('where the kernel tells programs alone, one of them tells the cookie of a namespace', async () => {
  await assertLearned([undefined, undefined])
  writeFileSync(join(cgroup.directory, 'cgroup.procs'), String(process.pid))
  try {
    await assertLearned([(await seen(path1)).cookie, (await seen(path2)).cookie])
    await applied(kernel, [modeOp(0)])
    await assertLearned([(await seen(path1)).cookie, (await seen(path2)).cookie])
    assert.deepEqual(await kernel.mapEntries('socket_peers'), [])
    await kernel.unloadPrograms()
    await assertLearned([undefined, undefined])
  } finally {
    writeFileSync(join(findCgroupRoot(), 'cgroup.procs'), String(process.pid))
  }
})

/** Of the two pods, as the worker learns it. */
async function assertLearned(expected: readonly (bigint | undefined)[]): Promise<void> {
  const pinned = new Pinned(lab.pins)
  const home = { fd: openOwnNetns(), conn: new NetlinkConn(), procRoot: '/proc', kept: new KeptFiles() }
  const namespaces = new Namespaces({ ...home, pinned, sockets: new Sockets(pinned, cgroup.directory) })
  try {
    assert.deepEqual(
      paths.map(path => learnCookie(namespaces.get(path), pinned)),
      expected,
    )
  } finally {
    namespaces.close()
    pinned.release()
    home.conn.close()
    closeNetns(home.fd)
  }
}
