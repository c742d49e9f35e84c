// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { secondsSince, seenNow } from '#kernel/bpf/seen.ts'
import { control, enforce, mode } from '#kernel/bpf/words.ts'
import { applyAll, observeHost } from '#kernel/host.ts'
import type { KernelOp } from '#kernel/op.ts'
import { policiesChangedOp, policyEntry } from '#kernel/policies.ts'
import { until } from '../support/until.ts'
import { DatapathLab, internet4, internet6, type Probe, v2 } from './datapath-lab.ts'

/** terway-cli monitor, each in a process of its own, on a node whose pods speak. */

const forwarding = mode.guard | mode.forward | mode.policy
const children: ChildProcess[] = []
let lab: DatapathLab
let a: SharedEniAttachment
let pod: Probe
before(async () => {
  lab = await DatapathLab.create('mo', { v2: true })
  await lab.datapath.setNode(v2, [])
  a = lab.pod(11, { eni: 1, families: [4, 6] })
  await lab.datapath.setup(a)
  await lab.probe('gw1')
  pod = await lab.probe('pod11')
})
afterEach(async () => {
  for (const child of children.splice(0).filter(c => c.exitCode === null && c.signalCode === null)) await ended({ child }, 'SIGTERM')
})
after(() => lab.close())

interface Monitor {
  readonly child: ChildProcess
  /** What it has printed. */
  readonly rows: Record<string, unknown>[]
  /** Its complaints. */
  said(): string
}

async function monitor(...words: string[]): Promise<Monitor> {
  const known = await present()
  const started = start(...words)
  await until(async () => ((await lab.mode()) & mode.monitor) !== 0 && (await present()) > known, 'the programs tell')
  return started
}

function start(...words: string[]): Monitor {
  const script = join(import.meta.dirname, 'monitor-process.ts')
  const child = spawn(process.execPath, [script, JSON.stringify(lab.places), ...words, '--output', 'json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.push(child)
  const rows: Record<string, unknown>[] = []
  let [text, complaints] = ['', '']
  child.stderr?.on('data', chunk => {
    complaints += chunk
  })
  child.stdout?.on('data', chunk => {
    const lines = `${text}${chunk}`.split('\n')
    text = lines.pop() ?? ''
    rows.push(...lines.map(line => JSON.parse(line)))
  })
  return { child, rows, said: () => complaints }
}

async function ended({ child }: Pick<Monitor, 'child'>, signal: NodeJS.Signals): Promise<void> {
  const exit = once(child, 'exit')
  child.kill(signal)
  await exit
}

/** How many look now. */
async function present(): Promise<number> {
  return (await places()).filter(p => p !== 0n && secondsSince(Number(p >> 32n), seenNow()) < 10).length
}

async function places(): Promise<bigint[]> {
  const words = await lab.kernel.mapEntries('control')
  return words.slice(control.monitors).map(({ value }) => maps.control.value.decode(value).value)
}

/** Everything that the pod sends is dropped from now on, or nothing. */
async function enforced(what: number): Promise<void> {
  const [link] = JSON.parse(lab.run('host', `ip -j link show ${a.hostIfName}`))
  const { key, value } = maps.endpoint_policies
  const entry = { key: key.encode({ ifIndex: link.ifindex }), value: value.encode({ policy: 7, revision: 1 + what, enforce: what }) }
  const put: KernelOp = {
    op: 'map-put',
    ns: 'host',
    map: 'endpoint_policies',
    key: entry.key.toString('hex'),
    value: entry.value.toString('hex'),
  }
  const host = await observeHost(lab.kernel, { links: [], families: [], entries: [policyEntry] })
  await applyAll(lab.kernel, [put, policiesChangedOp(host)])
}

const shown = (m: Monitor, what: string) => m.rows.filter(row => row.what === what)

test('drops are shown while it runs, with addresses and reason; afterwards the programs tell nothing', async () => {
  assert.equal(await lab.mode(), forwarding)
  await enforced(enforce.out)
  const m = await monitor('--drops')
  for (const to of [internet4, internet6]) {
    assert.equal(await pod.ask(to, 100), 'timeout')
    await until(() => shown(m, 'policy-egress').some(row => String(row.destination).includes(to)), 'the drop is shown')
  }
  const [first] = shown(m, 'policy-egress')
  assert.deepEqual([first?.verdict, first?.hook, first?.protocol], ['dropped', 'podIn', 'UDP'])
  assert.match(String(first?.source), /^10\.0\.1\.11:\d+$/)
  await ended(m, 'SIGINT')
  assert.equal(await lab.mode(), forwarding)
  assert.ok((await places()).every(p => p === 0n))
  await enforced(0)
})

test('samples are shown when they are asked for', async () => {
  const m = await monitor('--samples', '1')
  assert.equal(await pod.ask(internet4), 'gw1 10.0.1.11')
  await until(() => ['podToRemote', 'remoteToPod'].every(way => shown(m, way).length > 0), 'both ways are shown')
  await ended(m, 'SIGINT')
  assert.equal(await lab.mode(), forwarding)
  const [, sample] = await lab.kernel.mapEntries('control')
  assert.equal(sample && maps.control.value.decode(sample.value).value, 0n)
})

test('it ends by itself when its time is over', async () => {
  const [code] = await once(start('--samples', '1', '--for', '1s').child, 'exit')
  assert.equal(code, 0)
  assert.equal(await lab.mode(), forwarding)
})

test('two at once see the same, and the last one out takes the bit away', async () => {
  const one = await monitor('--drops')
  const two = await monitor('--drops', '--reason', 'policy-egress')
  await enforced(enforce.out)
  const seen = (m: Monitor, to: string) =>
    until(() => shown(m, 'policy-egress').some(r => String(r.destination).includes(to)), 'the drop is shown')
  assert.equal(await pod.ask(internet4, 100), 'timeout')
  await seen(one, internet4)
  await seen(two, internet4)
  await ended(one, 'SIGTERM')
  assert.equal(await lab.mode(), forwarding | mode.monitor)
  assert.equal(await pod.ask(internet6, 100), 'timeout')
  await seen(two, internet6)
  await ended(two, 'SIGTERM')
  assert.equal(await lab.mode(), forwarding)
  await enforced(0)
})

test('repair leaves the bit while somebody looks, and takes away that of one who was killed', async () => {
  const m = await monitor('--drops')
  await lab.datapath.differing([a])
  assert.equal(await lab.mode(), forwarding | mode.monitor)
  await ended(m, 'SIGKILL')
  await lab.datapath.differing([a])
  assert.equal(await lab.mode(), forwarding | mode.monitor, 'it has just said that it is there')
  const [place = 0n] = await places()
  const [seconds, units] = [11n, 954n]
  const entry = { map: 'control', key: maps.control.key.encode({ index: control.monitors }).toString('hex') } as const
  const value = maps.control.value.encode({ value: place - ((seconds * units) << 32n) }).toString('hex')
  await applyAll(lab.kernel, [{ op: 'map-put', ns: 'host', ...entry, value }])
  await lab.datapath.differing([a])
  assert.equal(await lab.mode(), forwarding)
  const next = await monitor('--drops')
  await ended(next, 'SIGINT')
  assert.equal(await lab.mode(), forwarding)
})

test('a node that is switched off stays so', async () => {
  const off = { map: 'control', key: maps.control.key.encode({ index: control.mode }).toString('hex') } as const
  const word = (value: number): KernelOp => ({
    op: 'map-put',
    ns: 'host',
    ...off,
    value: maps.control.value.encode({ value: BigInt(value) }).toString('hex'),
  })
  const m = await monitor('--drops')
  await applyAll(lab.kernel, [word(0)])
  const [before] = await places()
  await until(async () => (await places())[0] !== before, 'it has said again that it is there')
  assert.equal(await lab.mode(), 0)
  await ended(m, 'SIGINT')
  assert.equal(await lab.mode(), 0)
  await applyAll(lab.kernel, [word(forwarding)])
})

test('it ends when the programs are taken away', async () => {
  const m = await monitor('--drops')
  const exit = once(m.child, 'exit')
  await lab.datapath.setNode({ kind: 'veth' }, [a])
  const [code] = await exit
  assert.equal(code, 1)
  assert.match(m.said(), /the programs were taken away/)
})
