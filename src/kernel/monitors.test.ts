// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maps } from '#kernel/bpf/maps.ts'
import { control, mode } from '#kernel/bpf/words.ts'
import { beatOps, endOps, freePlace, monitorEntries, monitorsIn } from '#kernel/monitors.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { NsState } from '#kernel/state.ts'

const { key, value } = maps.control
const second = 954
const now = 1_000_000
const word = (seen: number, sample: number) => (BigInt(seen) << 32n) | BigInt(sample)

/** Words of `control` by their number; the others are 0. */
class Control {
  readonly words: Map<number, bigint>

  constructor(words: Readonly<Record<number, bigint>>) {
    this.words = new Map(Object.entries(words).map(([index, word]) => [Number(index), word]))
  }

  get host(): NsState {
    const entries = monitorEntries.map(e => {
      const { index } = key.decode(Buffer.from(e.key, 'hex'))
      return { ...e, value: value.encode({ value: this.words.get(index) ?? 0n }).toString('hex') }
    })
    return { entries } as unknown as NsState
  }

  apply(ops: readonly KernelOp[]): this {
    for (const op of ops) {
      assert.ok(op.op === 'map-put' && op.map === 'control')
      this.words.set(key.decode(Buffer.from(op.key, 'hex')).index, value.decode(Buffer.from(op.value, 'hex')).value)
    }
    return this
  }

  get said() {
    return Object.fromEntries([...this.words].filter(([, word]) => word !== 0n))
  }
}

const on = BigInt(mode.guard | mode.forward)
const watched = on | BigInt(mode.monitor)

test('one comes and goes: the bit and its samples come and go with it', () => {
  const c = new Control({ 0: on })
  assert.equal(freePlace(c.host, now), 0)
  c.apply(beatOps(c.host, { at: 0, seen: now, sample: 10 }))
  assert.deepEqual(c.said, { 0: watched, [control.sample]: 10n, [control.monitors]: word(now, 10) })
  const again = beatOps(c.host, { at: 0, seen: now + second, sample: 10 })
  assert.deepEqual(again.length, 1, 'what is right is not written again')
  c.apply(again)
  c.apply(endOps(c.host, { at: 0, seen: now + second, sample: 0 }))
  assert.deepEqual(c.said, { 0: on })
})

test('two: as many samples as the more curious one wants, and the last one out takes the bit away', () => {
  const c = new Control({ 0: on })
  c.apply(beatOps(c.host, { at: 0, seen: now, sample: 0 }))
  assert.equal(freePlace(c.host, now), 1)
  c.apply(beatOps(c.host, { at: 1, seen: now, sample: 100 }))
  assert.equal(c.words.get(control.sample), 100n)
  c.apply(beatOps(c.host, { at: 0, seen: now, sample: 0 }))
  assert.equal(c.words.get(control.sample), 100n)
  c.apply(endOps(c.host, { at: 1, seen: now, sample: 0 }))
  assert.deepEqual(c.said, { 0: watched, [control.monitors]: word(now, 0) })
  c.apply(endOps(c.host, { at: 0, seen: now, sample: 0 }))
  assert.deepEqual(c.said, { 0: on })
})

test('one that was killed counts for ten seconds; its place is taken, and its samples end', () => {
  const c = new Control({ 0: watched, [control.sample]: 1n, [control.monitors]: word(now, 1) })
  assert.deepEqual(
    [9, 11].map(seconds => monitorsIn(c.host, now + seconds * second).length),
    [1, 0],
  )
  assert.deepEqual(
    [9, 11].map(seconds => freePlace(c.host, now + seconds * second)),
    [1, 0],
  )
  const later = now + 11 * second
  c.apply(beatOps(c.host, { at: 1, seen: later, sample: 0 }))
  assert.equal(c.words.get(control.sample), 0n)
  c.apply(endOps(c.host, { at: 1, seen: later, sample: 0 }))
  assert.equal(c.words.get(0), on)
})

test('four places; a node that is switched off stays so, and gets the bit when it is on again', () => {
  const all = Object.fromEntries([0, 1, 2, 3].map(at => [control.monitors + at, word(now, 0)]))
  assert.equal(freePlace(new Control(all).host, now), undefined)
  const c = new Control({})
  c.apply(beatOps(c.host, { at: 0, seen: now, sample: 0 }))
  assert.equal(c.words.get(0) ?? 0n, 0n)
  c.words.set(0, on)
  assert.equal(c.apply(beatOps(c.host, { at: 0, seen: now, sample: 0 })).words.get(0), watched)
})
