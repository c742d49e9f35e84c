// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { VirtualClock } from '../../test/support/virtual-clock.ts'
import type { KubeObject, WatchHandler } from './port.ts'
import { type ConfigMap, configMaps } from './reflect/config-map.ts'
import { statusError } from './status.ts'
import { type Listed, overdue, WatchLoop, type WatchSource } from './watch.ts'

type Script = (signal: AbortSignal) => AsyncGenerator<Uint8Array>

const line = (type: string, object: unknown) => Buffer.from(`${JSON.stringify({ type, object })}\n`)
const map = (name: string, resourceVersion: string) => ({ metadata: { name, namespace: 'd', resourceVersion }, data: {} })
const bookmark = (resourceVersion: string) => line('BOOKMARK', { metadata: { resourceVersion } })
const tooOld = () => statusError('watch', 410, { reason: 'Expired', message: 'too old resource version' })

/** The server: answers each list and each watch with the next of its script; what it was asked is in `asked`. */
class Scripted implements WatchSource {
  readonly clock: VirtualClock
  readonly asked: string[] = []
  private readonly lists: Listed<unknown>[]
  private readonly scripts: Script[]

  constructor(clock: VirtualClock, lists: Listed<unknown>[], scripts: Script[]) {
    this.clock = clock
    this.lists = lists
    this.scripts = scripts
  }

  async listPages<T>(_: unknown, __: unknown, each: (raw: unknown) => T | undefined): Promise<Listed<T>> {
    this.asked.push('list')
    const next = this.lists.shift()
    if (next === undefined) throw statusError('list', 503, 'no more')
    return { items: next.items.flatMap(raw => each(raw) ?? []), resourceVersion: next.resourceVersion }
  }

  async openWatch(_: unknown, __: unknown, o: { resourceVersion: string }, signal: AbortSignal) {
    this.asked.push(`watch ${o.resourceVersion}`)
    const script = this.scripts.shift() ?? silence
    return { body: Readable.from(script(signal), { objectMode: false }) }
  }
}

async function* silence(signal: AbortSignal): AsyncGenerator<Uint8Array> {
  await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
  yield new Uint8Array()
}

function lines(out: string[]): WatchHandler<ConfigMap> {
  return {
    replaced: items => out.push(['replaced', ...items.map(i => i.metadata.name)].join(' ')),
    applied: i => out.push(`applied ${i.metadata.name}`),
    deleted: i => out.push(`deleted ${i.metadata.name}`),
    interrupted: e => out.push(`interrupted: ${e instanceof Error ? e.message : e}`),
  }
}

function watch(source: Scripted, handler: WatchHandler<ConfigMap>): WatchLoop<ConfigMap> {
  return new WatchLoop<ConfigMap>(source, configMaps, {}, handler)
}

test('each connection goes on from the last version seen, bookmarks included', async () => {
  const source = new Scripted(
    new VirtualClock(),
    [{ items: [map('a', '3')], resourceVersion: '5' }],
    [
      async function* () {
        yield line('ADDED', map('b', '7'))
      },
      async function* () {
        yield bookmark('40')
      },
      async function* () {
        yield line('DELETED', map('b', '41'))
      },
    ],
  )
  const out: string[] = []
  const loop = watch(source, lines(out))
  await loop.synced
  await source.clock.advance(5_000)
  loop.stop()
  assert.deepEqual(source.asked, ['list', 'watch 5', 'watch 7', 'watch 40', 'watch 41'])
  assert.deepEqual(out, ['replaced a', 'applied b', 'deleted b'])
})

test('410, as an event or as the answer, leads to a new list', async () => {
  const list = (v: string): Listed<unknown> => ({ items: [], resourceVersion: v })
  const source = new Scripted(
    new VirtualClock(),
    [list('1'), list('2'), list('3')],
    [
      async function* () {
        yield line('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' })
      },
      async function* () {
        yield* []
        throw tooOld()
      },
    ],
  )
  const loop = watch(source, lines([]))
  await source.clock.advance(10_000)
  loop.stop()
  assert.deepEqual(source.asked, ['list', 'watch 1', 'list', 'watch 2', 'list', 'watch 3'])
})

test('a connection that outlives its time is given up, and the next one goes on where it was', async () => {
  const source = new Scripted(new VirtualClock(), [{ items: [], resourceVersion: '1' }], [silence])
  const out: string[] = []
  const loop = watch(source, lines(out))
  await source.clock.advance(300_000 + overdue - 1)
  assert.deepEqual(source.asked, ['list', 'watch 1'])
  await source.clock.advance(300_000)
  loop.stop()
  assert.deepEqual(source.asked, ['list', 'watch 1', 'watch 1'])
  assert.match(out.at(-1) ?? '', /^interrupted: watch of configmaps: not ended by the server after \d+ s/)
})

test('a server that always closes at once, or says no, is asked ever more seldom', async () => {
  const atOnce: Script = async function* () {
    yield* []
  }
  const source = new Scripted(
    new VirtualClock(),
    [{ items: [], resourceVersion: '1' }],
    Array.from({ length: 1000 }, () => atOnce),
  )
  const loop = watch(source, lines([]))
  await source.clock.advance(600_000)
  loop.stop()
  assert.ok(source.asked.length > 20 && source.asked.length < 60, `asked ${source.asked.length} times in ten minutes`)
})

test('a handler that throws hears the same event again', async () => {
  const once: Script = async function* () {
    yield line('ADDED', map('a', '2'))
  }
  const source = new Scripted(new VirtualClock(), [{ items: [], resourceVersion: '1' }], [once, once])
  let calls = 0
  const applied = (_: KubeObject) => {
    calls++
    if (calls === 1) throw new Error('bug')
  }
  const loop = watch(source, { ...lines([]), applied })
  await source.clock.advance(5_000)
  loop.stop()
  assert.equal(calls, 2)
  assert.deepEqual(source.asked.slice(0, 4), ['list', 'watch 1', 'watch 1', 'watch 2'])
})

test('after stop nothing is heard', async () => {
  const out: string[] = []
  const source = new Scripted(new VirtualClock(), [{ items: [], resourceVersion: '1' }], [])
  const loop = watch(source, lines(out))
  loop.stop()
  await source.clock.advance(5_000)
  assert.deepEqual(out, [])
})
