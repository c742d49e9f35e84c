// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CliDeps } from '#cli/deps.ts'
import { makeProgram } from '#cli/program.ts'
import type { Event } from '#kernel/bpf/ring.ts'
import { event, eventRate, frontend, frontendKey, index, word } from '#kernel/bpf/structs.ts'
import { control, dropReasons, eventFlag, eventKind, hook, mode, path } from '#kernel/bpf/words.ts'
import { modeEntry } from '#kernel/mode.ts'
import type { KernelOp } from '#kernel/op.ts'
import { AppError } from '#lib/errors.ts'
import { parseIp } from '#net/ip.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const bits = (value: string | undefined) => (value === undefined ? undefined : Number(word.decode(Buffer.from(value, 'hex')).value))
const frontend1 = {
  map: 'frontends',
  key: hex(frontendKey.encode({ frontend: 1 })),
  value: hex(frontend.encode({ ip: parseIp('10.96.0.10'), port: 80 })),
}

/** A node in this mode (undefined = no programs), which tells this; three drops were not told meanwhile. */
function node(wasMode: number | undefined, told: readonly Partial<Event>[]) {
  const modeWas = wasMode === undefined ? [] : [{ ...modeEntry, value: hex(word.encode({ value: BigInt(wasMode) })) }]
  const entries = new Map([frontend1, ...modeWas].map(e => [`${e.map} ${e.key}`, e]))
  const modeNow = () => bits(entries.get(`${modeEntry.map} ${modeEntry.key}`)?.value)
  const lines: string[] = []
  const stops = new AbortController()
  let untold = 0n
  let during: number | undefined
  const kernel = {
    observe: async ([query]: readonly { entries: readonly { map: string; key: string }[] }[]) => [
      { entries: query?.entries.flatMap(e => entries.get(`${e.map} ${e.key}`) ?? []) },
    ],
    apply: async (ops: readonly KernelOp[]) => {
      for (const op of ops) if (op.op === 'map-put') entries.set(`${op.map} ${op.key}`, { map: op.map, key: op.key, value: op.value })
      return { done: ops }
    },
    mapEntries: async (map: string) => {
      const value = Buffer.concat([untold, 0n].map(n => eventRate.encode({ untold: n })))
      return map === 'event_rates' ? [{ key: index.encode({ index: eventKind.drop }), value }] : []
    },
    close: async () => {},
  }
  const source = {
    read: () => {
      during = modeNow()
      untold = 3n
      stops.abort()
      return { events: told.map(e => event.decode(event.encode({ time: 1n, length: 74, ...e }))), lost: true }
    },
    close: () => {},
  }
  const deps = {
    out: (line: string) => lines.push(line),
    connect: () => {
      throw new AppError('daemon-unreachable', 'nobody listens')
    },
    kernel: async () => kernel,
    events: async () => source,
    stopped: () => stops.signal,
  } as unknown as CliDeps
  const run = (...words: string[]) => makeProgram(deps).parseAsync(['monitor', ...words], { from: 'user' })
  return {
    run,
    lines,
    modes: () => [during, modeNow()],
    sample: () => bits(entries.get(`control ${hex(index.encode({ index: control.sample }))}`)?.value),
  }
}

const forwarding = mode.guard | mode.forward
const ends = { source: parseIp('10.0.1.5'), sourcePort: 4000, destination: parseIp('10.0.2.6'), destinationPort: 80, protocol: 17 }
const drop = { ...ends, hook: hook.podIn, reason: dropReasons['policy-egress'] }
const pass = { ...ends, hook: hook.podIn, path: path.podToRemote, frontend: 1, flags: eventFlag.first }

test('what was told is printed, with the name of its Service; the bit is there meanwhile only', async () => {
  const n = node(forwarding, [drop, pass])
  await n.run('--samples', '10')
  assert.deepEqual(
    n.lines.map(line => line.replace(/^\d\d:\d\d:\d\d\.\d\d\d /, '')),
    [
      'some events were written over before they could be shown',
      'dropped policy-egress at podIn: 10.0.1.5:4000 -> 10.0.2.6:80 UDP, 74 bytes',
      'passed podToRemote at podIn: 10.0.1.5:4000 -> 10.0.2.6:80 UDP, 74 bytes, Service 10.96.0.10:80, first packet',
      '3 more packets, in too quick succession to be told of each',
    ],
  )
  assert.deepEqual(n.modes(), [forwarding | mode.monitor, forwarding])
  assert.equal(n.sample(), 0)
})

test('for programs: an object a line', async () => {
  const n = node(forwarding, [drop, pass])
  await n.run('--drops', '--output', 'json')
  const rows = n.lines.map(line => JSON.parse(line))
  assert.deepEqual(
    rows.map(row => row.what ?? row),
    [{ lost: true }, 'policy-egress', { untold: 3 }],
  )
})

test('what cannot be is refused: another reason, another number, another time, a node without programs', async () => {
  await assert.rejects(node(forwarding, []).run('--reason', 'bad-luck'), /--reason is one of malformed, .*, not bad-luck/)
  await assert.rejects(async () => node(forwarding, []).run('--samples', 'many'), { code: 'bad-argument' })
  await assert.rejects(async () => node(forwarding, []).run('--pod', 'web'), { code: 'bad-argument' })
  await assert.rejects(async () => node(forwarding, []).run('--for', 'long'), { code: 'bad-duration' })
  const none = node(undefined, [])
  await assert.rejects(none.run(), { code: 'no-programs' })
  assert.deepEqual(none.modes(), [undefined, undefined])
})
