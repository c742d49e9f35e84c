// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { cutSockets } from '#datapath/v2/cut-sockets.ts'
import { attachSockets, detachSockets } from '#datapath/v2/sockets.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { socketProgramNames } from '#kernel/bpf/programs.ts'
import { type Event, openEvents } from '#kernel/bpf/ring.ts'
import { backendState, dropReasons, eventFlag, hook, mode } from '#kernel/bpf/words.ts'
import { modeOp } from '#kernel/mode.ts'
import { parseNetnsPath } from '#kernel/names.ts'
import { formatOp } from '#kernel/op.ts'
import type { Kernel } from '#kernel/port.ts'
import { parseIp, parseIpv4, parseIpv6, withPort } from '#net/ip.ts'
import { bpfObject } from '../../tools/bpf/compile.ts'
import { until } from '../support/until.ts'
import { applied, BpfLab, look, run } from './bpf-lab.ts'
import { entryOp, protocols, serviceOps, setOps, type TestService } from './bpf-services.ts'
import type { Protocol } from './bpf-sockets-actor.ts'
import { Actor, addNamespace, programsAtSockets, small, TestCgroup } from './bpf-sockets-lab.ts'

/** The Service's address is on the loopback of both namespaces too: whoever is not translated is answered by `nobody`. */
const families = {
  4: { service: '10.96.0.10', node: '192.0.2.1', loopback: '127.0.0.1', backends: ['192.0.2.2', '192.0.2.3'] },
  6: { service: 'fd00:96::10', node: '2001:db8::1', loopback: '::1', backends: ['2001:db8::2', '2001:db8::3'] },
} as const
const [port, nodePort, backendPort] = [80, 30080, 8080]
const kinds: readonly Protocol[] = ['tcp', 'udp', 'udp-connected']

const object = programsAtSockets(bpfObject())
const cgroup = new TestCgroup()
const elsewhere = `tbpf${process.pid}-else`
let lab: BpfLab
let kernel: Kernel
let node: Actor
let stranger: Actor
const actors: Actor[] = []

function actor(ns: string): Actor {
  const made = new Actor(ns, cgroup)
  actors.push(made)
  return made
}

before(async () => {
  lab = new BpfLab()
  lab.use(object)
  kernel = await lab.kernel({ cgroup: cgroup.directory })
  addNamespace(elsewhere)
  for (const f of Object.values(families)) {
    for (const ns of [lab.host, elsewhere]) lab.ip(ns, `addr add ${f.service} dev lo`)
  }
  // The lab itself has 192.0.2.1 and .2.
  lab.ip(lab.peer, 'addr add 192.0.2.3/24 dev p0')
  for (const backend of families[6].backends) lab.ip(lab.peer, `addr add ${backend}/64 dev p0 nodad`)
  lab.ip(lab.host, `addr add ${families[6].node}/64 dev d0 nodad`)
  node = actor(lab.host)
  stranger = actor(elsewhere)
  const world = actor(lab.peer)
  for (const f of Object.values(families)) {
    await node.serve('nobody', f.service, port)
    await stranger.serve('nobody', f.service, port)
    for (const [i, backend] of f.backends.entries()) await world.serve(`backend ${i}`, backend, backendPort)
  }
})
after(async () => {
  for (const a of actors) await a.close()
  if (existsSync(`/run/netns/${elsewhere}`)) run('ip', 'netns', 'del', elsewhere)
  await lab.close()
  await until(() => cgroup.isEmpty)
  cgroup.remove()
})

beforeEach(async () => {
  lab.use(object)
  const { generation } = await kernel.loadPrograms(small)
  const { node: address4 } = families[4]
  const addresses = { address4: parseIpv4(address4), address6: parseIpv6(families[6].node) }
  await applied(kernel, [entryOp('node_configs', { index: 0 }, addresses), ...services().flatMap(serviceOps), modeOp(mode.service)])
  await attachSockets(kernel, generation)
})
afterEach(() => kernel.unloadPrograms())

/** One Service, which is one for each family and protocol. */
function services(more: Partial<TestService> = {}): TestService[] {
  return Object.values(families).flatMap((f, v) =>
    Object.values(protocols).map(protocol => ({
      number: numberOf(v === 0 ? 4 : 6, protocol),
      protocol,
      frontends: [
        { ip: f.service, port },
        { ip: f.node, port: nodePort },
      ],
      backends: f.backends.map(ip => ({ ip, port: backendPort })),
      ...more,
    })),
  )
}

function numberOf(family: 4 | 6, protocol: number): number {
  return 100 * family + 2 * protocol
}

const attached = async () => (await look(kernel, { sockets: true })).sockets.map(s => s.name)

/** Everything that a program of the node may name, and which answers it shall get. */
async function assertTranslated(from: Actor): Promise<void> {
  const { service, node: address, loopback } = families[4]
  const hosts = [service, `::ffff:${service}`, families[6].service].map(host => [host, port] as const)
  const ports = [address, loopback, `::ffff:${loopback}`, families[6].node, families[6].loopback].map(host => [host, nodePort] as const)
  for (const protocol of kinds) {
    for (const [host, at] of [...hosts, ...ports]) {
      const answer = await from.ask(protocol, host, at)
      assert.match(answer.name, /^backend [01]$/, `${protocol} ${host}`)
      assert.equal(answer.peer, withPort(host, at), protocol)
    }
  }
}

async function assertUntouched(from: Actor): Promise<void> {
  for (const protocol of kinds) {
    for (const { service } of Object.values(families))
      assert.deepEqual(await from.ask(protocol, service, port), { name: 'nobody', peer: withPort(service, port) })
  }
}

test('sockets of the node reach backends, and see the Service; other namespaces are left alone', async () => {
  await assertTranslated(node)
  await assertUntouched(stranger)
})

test('a second attachment does nothing; a look tells what is attached', async () => {
  assert.deepEqual(readdirSync(join(lab.pins, 'links')).sort(), [...socketProgramNames].sort())
  const attempts: string[] = []
  const watching: Pick<Kernel, 'observe' | 'apply'> = {
    observe: queries => kernel.observe(queries),
    apply: ops => {
      attempts.push(...ops.map(formatOp))
      return kernel.apply(ops)
    },
  }
  await attachSockets(watching, object.generation)
  assert.deepEqual([attempts, await attached()], [[], socketProgramNames.map(p => `${p}.${object.generation}`)])
})

test('the namespace that is translated is named by its cookie', async () => {
  const ask = { links: [], families: [], cookie: true } as const
  const [host, other] = await kernel.observe([
    { ns: 'host', ...ask },
    { ns: parseNetnsPath(`/run/netns/${elsewhere}`), ...ask },
  ])
  assert.ok(host?.cookie !== undefined && other?.cookie !== undefined && host.cookie !== other.cookie)
  const names = (await kernel.mapEntries('namespaces')).map(e => maps.namespaces.key.decode(e.key))
  assert.deepEqual(names, [{ cookie: host.cookie }])
})

test('without the mode for Services calls are left alone', async () => {
  await applied(kernel, [modeOp(mode.forward)])
  await assertUntouched(node)
})

test('a Service without backends is not translated', async () => {
  await applied(
    kernel,
    services().flatMap(s => setOps(s.number, [])),
  )
  await assertUntouched(node)
})

test('each backend is chosen; a node with affinity keeps one', async () => {
  const names = async (protocol: Protocol) => {
    const seen = new Set<string>()
    for (let i = 0; i < 40; i++) seen.add((await node.ask(protocol, families[4].service, port)).name)
    return [...seen].sort()
  }
  for (const protocol of kinds) assert.deepEqual(await names(protocol), ['backend 0', 'backend 1'])
  await applied(
    kernel,
    services({ affinitySeconds: 60 }).flatMap(s => [...serviceOps(s), ...affinitySlots(s.number)]),
  )
  for (const protocol of kinds) assert.equal((await names(protocol)).length, 1)
})

function affinitySlots(set: number) {
  return [0, 1].map(i => entryOp('backend_slots', { set, slot: 0x80000000 + 10 * set + i }, { backend: 10 * set + i }))
}

test('a series of datagrams stays with its backend until that is drained; a connection stays longer', async () => {
  for (const [family, { service, backends }] of [
    [4, families[4]],
    [6, families[6]],
  ] as const) {
    for (const [kind, protocol] of [
      ['udp', protocols.udp],
      ['tcp', protocols.tcp],
    ] as const) {
      const conversation = await node.open(kind, service, port)
      const { name, peer } = await conversation.ask()
      for (let i = 0; i < 20; i++) assert.deepEqual(await conversation.ask(), { name, peer })
      const [set, gone] = [numberOf(family, protocol), Number(name.at(-1))]
      const draining = { ip: parseIp(backends[gone] ?? ''), port: backendPort, protocol, state: backendState.draining }
      await applied(kernel, [...setOps(set, [1 - gone]), entryOp('backends', { backend: 10 * set + gone }, draining)])
      const next = { name: kind === 'udp' ? `backend ${1 - gone}` : name, peer: withPort(service, port) }
      for (let i = 0; i < 5; i++) assert.deepEqual(await conversation.ask(), next, kind)
      await conversation.close()
    }
  }
})

test('a connected socket of UDP learns that its backend is gone, and gets another one; nobody else is cut', async () => {
  assert.equal(await cutSockets(kernel, []), 0)
  for (const [family, host, { backends }] of [
    [4, families[4].service, families[4]],
    [4, `::ffff:${families[4].service}`, families[4]],
    [6, families[6].service, families[6]],
  ] as const) {
    const set = numberOf(family, protocols.udp)
    await applied(kernel, services().flatMap(serviceOps))
    const cut = await node.open('udp-connected', host, port)
    const lost = Number((await cut.ask()).name.at(-1))
    const open = await Promise.all([
      node.open('udp', host, port),
      node.open('udp-connected', backends[lost] ?? '', backendPort),
      node.open('udp-connected', backends[1 - lost] ?? '', backendPort),
      node.open('tcp', host, port),
      stranger.open('udp-connected', host, port),
    ])
    for (const other of open) await other.ask()
    const gone = { ip: parseIp(backends[lost] ?? ''), port: backendPort }
    const draining = entryOp('backends', { backend: 10 * set + lost }, { ...gone, protocol: protocols.udp, state: backendState.draining })
    await applied(kernel, [...setOps(set, [1 - lost]), draining])
    assert.equal(await cutSockets(kernel, [gone]), 1, host)
    await assert.rejects(cut.ask(), /ECONNABORTED/)
    assert.equal((await node.ask('udp-connected', host, port)).name, `backend ${1 - lost}`)
    assert.equal(await cutSockets(kernel, [gone]), 0)
    for (const other of open) await other.ask()
    for (const other of [cut, ...open]) await other.close()
  }
})

/** What is told while `fn` runs. */
async function toldDuring(fn: () => Promise<unknown>): Promise<readonly Event[]> {
  const reader = openEvents(lab.pins)
  try {
    await fn()
    const { events, lost } = reader.read()
    assert.equal(lost, false)
    return events
  } finally {
    reader.close()
  }
}

test('who looks is told of each connection, and of each series of datagrams once', async () => {
  assert.deepEqual(await toldDuring(() => assertTranslated(node)), [])
  await applied(kernel, [modeOp(mode.service | mode.monitor)])
  for (const [family, { service, backends }] of [
    [4, families[4]],
    [6, families[6]],
  ] as const) {
    for (const kind of kinds) {
      const protocol = kind === 'tcp' ? protocols.tcp : protocols.udp
      let backend = ''
      const events = await toldDuring(async () => {
        const conversation = await node.open(kind, service, port)
        for (let i = 0; i < 3; i++) backend = backends[Number((await conversation.ask()).name.at(-1))] ?? ''
        await conversation.close()
      })
      const [one, ...more] = events.map(({ hook, protocol, pid, destination, destinationPort, frontend, flags, reason }) => {
        return { hook, protocol, pid, destination, destinationPort, frontend, flags, reason }
      })
      assert.deepEqual(more, [], kind)
      const where = { destination: parseIp(backend), destinationPort: backendPort, frontend: numberOf(family, protocol) }
      const flags = eventFlag.first | (kind === 'udp' ? eventFlag.datagram : 0)
      assert.deepEqual(one, { hook: hook.socket, protocol, pid: node.pid, ...where, flags, reason: 0 }, kind)
      assert.notEqual(events[0]?.task, '')
    }
  }
  assert.deepEqual(await toldDuring(() => assertUntouched(stranger)), [])
})

test('who looks is told what finds no backend', async () => {
  await applied(kernel, [modeOp(mode.service | mode.monitor), ...services().flatMap(s => setOps(s.number, []))])
  const { service } = families[6]
  for (const kind of ['tcp', 'udp'] as const) {
    const [event] = await toldDuring(() => node.ask(kind, service, port))
    assert.deepEqual(
      [event?.reason, event?.destination, event?.destinationPort, event?.pid],
      [dropReasons['service-without-backend'], service, port, node.pid],
    )
  }
})

test('programs stay when the process that attached them is killed', async () => {
  await detachSockets(kernel)
  await assertUntouched(node)
  const script = join(import.meta.dirname, 'bpf-sockets-attach.ts')
  const child = spawn(process.execPath, [script, lab.host, lab.pins, lab.objectFile, cgroup.directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')
  await assertTranslated(node)
  await assertUntouched(stranger)
})

test('no call fails while programs are replaced', async () => {
  let isOver = false
  const asking = (async () => {
    const conversation = await node.open('tcp', families[6].service, port)
    for (let i = 0; !isOver || i < 20; i++) {
      for (const protocol of kinds) {
        const answer = await node.ask(protocol, families[i % 2 === 0 ? 4 : 6].service, port)
        assert.match(answer.name, /^backend/)
      }
      assert.match((await conversation.ask()).name, /^backend/)
    }
  })()
  const ended = asking.finally(() => {
    isOver = true
  })
  for (const generation of ['aaaaaaaaaaaa', 'bbbbbbbbbbbb', 'aaaaaaaaaaaa', 'cccccccccccc']) {
    lab.use({ ...object, generation })
    await kernel.loadPrograms(small)
    await attachSockets(kernel, generation)
    assert.deepEqual(
      await attached(),
      socketProgramNames.map(p => `${p}.${generation}`),
    )
  }
  isOver = true
  await ended
})

test('what is attached to another cgroup, or to one that is gone, is attached anew', async () => {
  const other = new TestCgroup('other')
  const there = await lab.kernel({ cgroup: other.directory })
  await attachSockets(there, object.generation)
  await assertUntouched(node)
  assert.deepEqual(
    await attached(),
    socketProgramNames.map(() => 'in another cgroup'),
  )
  other.remove()
  assert.deepEqual(
    (await look(there, { sockets: true })).sockets.map(s => s.name),
    socketProgramNames.map(() => 'in another cgroup'),
  )
  assert.deepEqual(await there.loadPrograms(), { generation: object.generation, created: [], others: [] })
  await assert.rejects(attachSockets(there, object.generation), { code: 'kernel-refused', message: /bpftool cgroup attach.*ENOENT/ })
  await attachSockets(kernel, object.generation)
  await assertTranslated(node)
})

test('detached, nothing stays', async () => {
  await detachSockets(kernel)
  assert.deepEqual([await attached(), await kernel.mapEntries('namespaces')], [[], []])
  assert.deepEqual(readdirSync(join(lab.pins, 'links')), [])
  await assertUntouched(node)
  await detachSockets(kernel)
  await attachSockets(kernel, object.generation)
  await assertTranslated(node)
  await kernel.unloadPrograms()
  assert.deepEqual(lab.pinned(), [])
  await assertUntouched(node)
  await detachSockets(kernel)
})
