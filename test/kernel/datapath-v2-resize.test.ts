// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Datapath } from '#datapath/port.ts'
import { mapSizes } from '#datapath/v2/map-sizes.ts'
import { connectionTables } from '#kernel/bpf/copy.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { seenNow } from '#kernel/bpf/seen.ts'
import { flowFlag, flowState, flowWay } from '#kernel/bpf/words.ts'
import { applyAll } from '#kernel/host.ts'
import type { KernelOp } from '#kernel/op.ts'
import { parseIp } from '#net/ip.ts'
import { until } from '../support/until.ts'
import { DatapathLab, hostIp4, internet4, internet6, type Probe } from './datapath-lab.ts'
import { nodes, putServices } from './datapath-services.ts'

/**
 * Tables of connections get other sizes while the node works: what is under way goes on, directly and through Services, from pods and through the node, and
 * also when a process is killed at any step of it.
 */

/** Of two backends each, which are one machine by two addresses. */
const choices = Array.from({ length: 8 }, (_, i) => ({
  name: `choice${i}`,
  ips: [`10.96.0.${20 + i}`],
  backends: [internet4, '10.0.1.253'],
}))

let lab: DatapathLab
let pod: Probe
let outside: Probe
const attached = () => [lab.pod(11, { families: [4, 6] })]

before(async () => {
  lab = await DatapathLab.create('size', { v2: true })
  await resize(lab.datapath, 4096)
  const remote = { name: 'remote', ips: ['10.96.0.10', 'fd00:96::10'], backends: [internet4, internet6], nodePort: 30010 }
  await putServices(lab.kernel, [remote, ...choices])
  for (const a of attached()) await lab.datapath.setup(a)
  await lab.probe('gw1')
  ;[pod, outside] = [await lab.probe('pod11'), await lab.probe('gw0')]
  assert.equal(await pod.beat('tcp', internet4, 1), 'ok')
  assert.equal(await pod.beat('tcp', '10.96.0.10', 1), 'ok')
  assert.equal(await pod.beat('tcp', 'fd00:96::10', 1), 'ok')
  assert.equal(await pod.beat('udp', '10.96.0.10', 1), 'ok')
  assert.equal(await outside.beat('tcp', hostIp4, 1, 30010), 'ok')
})
after(() => lab.close())

function resize(datapath: Datapath, flowEntries: number): Promise<void> {
  return datapath.setNode({ ...nodes.v2, flowEntries }, [])
}

/** Every connection lives, and what was sent comes back: so much more than before. */
async function goesOn(): Promise<void> {
  const all = async () => [...Object.values(await pod.beats()), ...Object.values(await outside.beats())]
  const before = await all()
  assert.ok(before.length >= 5)
  await until(async () => (await all()).every((b, i) => b.ended !== '' || b.echoed > (before[i]?.sent ?? 0)), 'all connections go on')
  assert.deepEqual(
    (await all()).map(b => b.ended),
    before.map(() => ''),
  )
}

/** A flow of the pod that nobody uses, open for so many seconds without a packet. */
function idle(port: number, seconds: number, protocol = 6): KernelOp {
  const key = { local: parseIp('10.0.1.11'), remote: parseIp('203.0.113.1'), localPort: port, remotePort: 443, protocol }
  const value = {
    seen: (seenNow() - seconds * 954) >>> 0,
    state: flowState.open,
    way: flowWay.direct,
    flags: flowFlag.answered,
    txPackets: port,
  }
  const hex = { key: maps.flows.key.encode(key).toString('hex'), value: maps.flows.value.encode(value).toString('hex') }
  return { op: 'map-put', ns: 'host', map: 'flows', ...hex }
}

async function flows() {
  return (await lab.kernel.mapEntries('flows')).map(e => ({ ...maps.flows.key.decode(e.key), ...maps.flows.value.decode(e.value) }))
}

/** Local ports of the flows that nobody uses, by what they have counted. */
async function idlePorts(protocol = 6): Promise<number[]> {
  return (await flows())
    .flatMap(f => (f.remote === '203.0.113.1' && f.protocol === protocol ? [f.txPackets] : []))
    .toSorted((a, b) => a - b)
}

/** How many exchanges by UDP without a Service are known. */
async function asked(): Promise<number> {
  return (await flows()).filter(f => f.remote === internet4 && f.protocol === 17 && f.frontend === 0).length
}

const room = async () => (await lab.kernel.countEntries('flows')).room
const range = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i)

test('larger and smaller tables have what the ones before had, and nothing that is under way ends', async () => {
  await applyAll(lab.kernel, [...range(1000, 500).map(p => idle(p, 3000)), ...range(1, 20).map(p => idle(p, 200, 17))])
  assert.equal((await idlePorts(17)).length, 20)
  for (const entries of [16384, 2048]) {
    await resize(lab.datapath, entries)
    assert.equal(await room(), entries)
    assert.deepEqual(await idlePorts(), range(1000, 500))
    await goesOn()
  }
  // Those of UDP were idle for too long.
  assert.deepEqual(await idlePorts(17), [])
  for (const table of connectionTables) assert.equal((await lab.kernel.countEntries(table)).room, mapSizes(2048)[table])
})

test('a table that is too small for all keeps what was in use last', async () => {
  await applyAll(lab.kernel, [...range(2000, 1000).map(p => idle(p, 3600 + p)), ...range(10_000, 300).map(p => idle(p, 100))])
  await resize(lab.datapath, 1024)
  const kept = await idlePorts()
  assert.deepEqual(kept.slice(-300), range(10_000, 300))
  // An eighth is left for flows that begin, and what is left to others goes to those that were idle shortest.
  assert.ok(kept.length > 600 && kept.length <= 896 && kept.every(p => p >= 10_000 || p < 2100), `${kept.length}`)
  await goesOn()
})

test('killed before any kind of step: the next process finds the tables of before or of afterwards, and ends what is left', async () => {
  await applyAll(
    lab.kernel,
    range(100, 50).map(p => idle(p, 10)),
  )
  const script = join(import.meta.dirname, 'datapath-resize-killed.ts')
  const { hostNetns = '', pins = '', object = '' } = lab.places
  for (const [i, step] of ['remove', 'before the swap', 'after the swap', 'rename'].entries()) {
    const before = await room()
    const other = before === 4096 ? 8192 : 4096
    const args = [script, step, hostNetns, pins, object, JSON.stringify(mapSizes(other))]
    const { signal } = spawnSync(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] })
    assert.equal(signal, 'SIGKILL')
    await goesOn()
    assert.equal(await pod.ask(internet4), 'gw1 10.0.1.11')
    const wanted = i % 2 === 0 ? other : before
    await lab.afterRestart(datapath => resize(datapath, wanted))
    assert.equal(await room(), wanted)
    assert.equal(await asked(), i + 1, `what began after a kill ${step}`)
    assert.deepEqual(
      (await idlePorts()).filter(p => p < 150),
      range(100, 50),
      step,
    )
    assert.deepEqual(
      lab.pins().filter(p => p.endsWith('-new')),
      [],
    )
    await goesOn()
  }
})

test('what begins after the last copy goes on with its backend, though its entries never come', async () => {
  const script = join(import.meta.dirname, 'datapath-resize-killed.ts')
  const { hostNetns = '', pins = '', object = '' } = lab.places
  const before = await room()
  const args = [script, 'after a stop', hostNetns, pins, object, JSON.stringify(mapSizes(before === 4096 ? 8192 : 4096))]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] })
  const ended = once(child, 'exit')
  await until(() => readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.startsWith('T') === true, 'the process stops')
  // Of two backends each: without a word all of them would have to come to the same ones once more by chance.
  for (const { ips } of choices) for (const ip of ips) assert.equal(await pod.beat('tcp', ip, 1), 'ok')
  child.kill('SIGCONT')
  assert.deepEqual(await ended, [null, 'SIGKILL'])
  await goesOn()
  await lab.afterRestart(datapath => resize(datapath, before))
  await goesOn()
})

test('nothing was lost on the way', async t => {
  for (const probe of [pod, outside]) {
    await probe.hush()
    const beats = async () => Object.values(await probe.beats())
    await until(async () => (await beats()).every(b => b.echoed === b.sent), 'everything came back')
    t.diagnostic(`sent and came back: ${(await beats()).map(b => b.echoed).join(', ')}`)
  }
})
