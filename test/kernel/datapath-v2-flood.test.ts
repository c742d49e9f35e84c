// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { maps } from '#kernel/bpf/maps.ts'
import { seenNow, unitsPerSecond } from '#kernel/bpf/seen.ts'
import { credits, flowFlag, flowKind, flowState, flowWay } from '#kernel/bpf/words.ts'
import { applyAll } from '#kernel/host.ts'
import type { KernelOp } from '#kernel/op.ts'
import { parseIp } from '#net/ip.ts'
import { until } from '../support/until.ts'
import { DatapathLab, hostIp4, internet4, type Probe, port } from './datapath-lab.ts'
import { nodes, putServices } from './datapath-services.ts'

/** Ten times more first packets than the tables of connections have entries: what is established stays. */

const directory = mkdtempSync(join(tmpdir(), 'tdp-flood-'))
process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
const synFlood = join(directory, 'syn-flood')
const flags = ['-O2', '-static', '-Wall', '-Wextra', '-Werror', '-std=gnu11']
execFileSync('musl-gcc', [...flags, '-o', synFlood, join(import.meta.dirname, 'syn-flood.c')])

const entries = 1024
const nodePort = 30010
interface Silent {
  readonly state?: number
  readonly flags?: number
  /** Seconds. */
  readonly age?: number
}
const lostBefore = lostInQueues()
const idle = Array.from({ length: 500 }, (_, i) => 1000 + i)
let lab: DatapathLab
let pod: Probe
before(async () => {
  lab = await DatapathLab.create('flood', { v2: true })
  await lab.datapath.setNode({ ...nodes.v2, services: { natPortFirst: 40_000, natPortLast: 65_000 }, flowEntries: entries }, [])
  await putServices(lab.kernel, [{ name: 'remote', ips: ['10.96.0.10'], backends: [internet4], nodePort }])
  await lab.datapath.setup(lab.pod(11))
  await lab.probe('gw1')
  pod = await lab.probe('pod11')
  assert.equal(await pod.beat('tcp', internet4, 1), 'ok')
  assert.equal(await pod.beat('tcp', '10.96.0.10', 1), 'ok')
  assert.equal(await pod.beat('udp', '10.96.0.10', 1), 'ok')
  await applyAll(
    lab.kernel,
    idle.map(port => silent(port)),
  )
})
after(() => lab.close())

/** A connection that is open and silent, or what is said of it. */
function silent(localPort: number, { state = flowState.open, flags = flowFlag.answered, age = 0 }: Silent = {}): KernelOp {
  const key = { local: parseIp('10.0.1.11'), remote: parseIp('203.0.113.1'), localPort, remotePort: 443, protocol: 6 }
  const value = { seen: seenNow() - Math.ceil(age * unitsPerSecond), state, way: flowWay.direct, flags }
  const hex = { key: maps.flows.key.encode(key).toString('hex'), value: maps.flows.value.encode(value).toString('hex') }
  return { op: 'map-put', ns: 'host', map: 'flows', ...hex }
}

/** A client of the node that is silent. */
function asks(remotePort: number): KernelOp {
  const key = {
    local: parseIp(hostIp4),
    remote: parseIp('203.0.113.1'),
    localPort: nodePort,
    remotePort,
    protocol: 6,
    kind: flowKind.client,
  }
  const value = { seen: seenNow(), state: flowState.open, flags: flowFlag.remoteFirst | flowFlag.answered }
  const hex = { key: maps.node_flows.key.encode(key).toString('hex'), value: maps.node_flows.value.encode(value).toString('hex') }
  return { op: 'map-put', ns: 'host', map: 'node_flows', ...hex }
}

async function silentOnes(): Promise<number> {
  return (await lab.kernel.mapEntries('flows')).filter(e => maps.flows.key.decode(e.key).remote === '203.0.113.1').length
}

/** How many new flows may go to those in use now. */
async function credit(): Promise<number> {
  await lab.kernel.surveyFlows('flows')
  const words = (await lab.kernel.mapEntries('credits')).map(e => maps.credits.value.decode(e.value).value)
  return Number((words[credits.granted] ?? 0n) - (words[credits.used] ?? 0n))
}

/** Floods until the programs have seen so many; how many they have. The queue of a busy machine may lose some. */
async function floodUntil(wanted: number, seen: () => Promise<number>, from: string, flood: string): Promise<number> {
  await until(async () => {
    lab.run(from, `${synFlood} ${flood} ${10 * entries}`)
    return (await seen()) >= wanted
  }, 'the flood has passed')
  return seen()
}

/** Packets that queues of this machine's CPUs had no room for. */
function lostInQueues(): number {
  const lines = readFileSync('/proc/net/softnet_stat', 'utf8').trim().split('\n')
  return lines.reduce((sum, line) => sum + Number.parseInt(line.split(' ')[1] ?? '0', 16), 0)
}

/** Every connection lives, and what was sent comes back. */
async function goesOn(): Promise<void> {
  const before = Object.values(await pod.beats())
  const all = async () => Object.values(await pod.beats())
  await until(async () => (await all()).every((b, i) => b.ended !== '' || b.echoed > (before[i]?.sent ?? 0)), 'all connections go on')
  assert.ok((await all()).every(b => b.ended === ''))
}

const floods: readonly (readonly [what: string, from: string, source: string, to: string, at: number])[] = [
  ['of a pod that nobody answers', 'pod11', '10.0.1.11', '198.51.100.77', 80],
  ['of a pod that is refused', 'pod11', '10.0.1.11', internet4, 80],
  ['from elsewhere that a pod refuses', 'gw1', '203.0.113.7', '10.0.1.11', 80],
  ['from elsewhere that a pod answers', 'gw1', '203.0.113.8', '10.0.1.11', port],
]
for (const [what, from, source, to, at] of floods) {
  test(`a flood of first packets ${what}`, async t => {
    const packets = async () => {
      const { podToRemote = 0, remoteToPod = 0 } = await lab.counted('paths')
      return podToRemote + remoteToPod
    }
    const before = await packets()
    const granted = await credit()
    const seen = await floodUntil(10 * entries, async () => (await packets()) - before, from, `${source} ${to} ${at}`)
    const left = await silentOnes()
    const { fresh } = await lab.kernel.surveyFlows('flows')
    t.diagnostic(
      `${seen} packets through tables of ${entries}: ${left} of ${idle.length} silent connections are known, ${fresh} flows are new`,
    )
    assert.equal(left, idle.length)
    // What CPUs had at hand was granted before.
    assert.ok(fresh <= entries / 8, `${fresh} new flows among those in use, ${granted} were granted`)
    await goesOn()
  })
}

test('a flood of first packets at a port of the node', async t => {
  const clients = idle.map(asks)
  await applyAll(lab.kernel, clients)
  const outside = await lab.probe('gw0')
  assert.equal(await outside.beat('tcp', hostIp4, 1, nodePort), 'ok')
  const asked = async () => (await lab.counted('paths')).nodeToRemote ?? 0
  const before = await asked()
  const seen = await floodUntil(5 * entries, async () => (await asked()) - before, 'gw0', `203.0.113.9 ${hostIp4} ${nodePort}`)
  const left = (await lab.kernel.mapEntries('node_flows')).filter(e => maps.node_flows.key.decode(e.key).remote === '203.0.113.1').length
  t.diagnostic(`${seen} packets: ${left} of ${clients.length} silent clients are known`)
  assert.equal(left, clients.length)
  const [beat] = Object.values(await outside.beats())
  await until(
    async () => Object.values(await outside.beats()).every(b => b.ended === '' && b.echoed > (beat?.sent ?? 0)),
    'the client goes on',
  )
})

test('new flows give their room back when they were silent for a minute', async () => {
  await applyAll(
    lab.kernel,
    idle.slice(0, 100).map(port => silent(port, { state: flowState.new, flags: flowFlag.fresh, age: 61 })),
  )
  const before = await credit()
  // Those of the floods are younger.
  assert.equal(await silentOnes(), idle.length - 100)
  await applyAll(
    lab.kernel,
    idle.slice(0, 100).map(port => silent(port)),
  )
  // Those of the floods give theirs back meanwhile on a slow machine.
  assert.ok((await credit()) >= before)
})

test('nothing of what was under way was lost', async t => {
  await pod.hush()
  const beats = async () => Object.entries(await pod.beats())
  const lost = (row: string) => (row.startsWith('udp') ? lostInQueues() - lostBefore : 0)
  await until(async () => (await beats()).every(([row, b]) => b.sent - b.echoed <= lost(row)), 'everything came back')
  t.diagnostic(`sent and came back: ${(await beats()).map(([, b]) => b.echoed).join(', ')}`)
})
