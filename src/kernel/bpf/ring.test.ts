// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EventReader, recordsIn } from '#kernel/bpf/ring.ts'
import { event } from '#kernel/bpf/structs.ts'
import type { MappedRing } from '#kernel/ffi-bpf-ring.ts'

const [busy, discarded] = [0x80000000, 0x40000000]

function record(bytes: Uint8Array, bits = 0): Buffer {
  const whole = Buffer.alloc(8 + Math.ceil(bytes.length / 8) * 8)
  whole.writeUInt32LE((bytes.length | bits) >>> 0, 0)
  whole.set(bytes, 8)
  return whole
}

test('records up to the first that is still written, without those that were discarded', () => {
  const [one, two, three] = [record(Buffer.from('one')), record(Buffer.from('not'), discarded), record(Buffer.from('three is long'))]
  const bytes = Buffer.concat([one, two, three, record(Buffer.from('half'), busy), record(Buffer.from('later'))])
  const { records, length } = recordsIn(bytes)
  assert.deepEqual(records.map(String), ['one', 'three is long'])
  assert.equal(length, one.length + two.length + three.length)
  assert.deepEqual(recordsIn(Buffer.alloc(0)), { records: [], length: 0 })
})

/** A ring in this process: `put` is what the kernel does, which stops where no reader has come by. */
function ring(size: number) {
  const memory = Buffer.alloc(2 * size)
  let [produced, consumed] = [0n, 0n]
  const mapped: MappedRing = {
    size,
    produced: () => produced,
    consumed: () => consumed,
    consume: position => {
      consumed = position
    },
    bytes: (position, length) => memory.subarray(Number(position % BigInt(size)), Number(position % BigInt(size)) + length),
    close: () => {},
  }
  const put = (time: bigint): boolean => {
    const bytes = record(event.encode({ time }))
    if (produced + BigInt(bytes.length) - consumed >= BigInt(size)) return false
    for (const [i, byte] of bytes.entries()) {
      const at = (Number(produced % BigInt(size)) + i) % size
      memory[at] = byte
      memory[at + size] = byte
    }
    produced += BigInt(bytes.length)
    return true
  }
  return { mapped, put, consumed: () => consumed }
}

const times = (reader: EventReader) => reader.read().events.map(e => e.time)

test('a reader begins with what comes from now on, and gives way to what follows', () => {
  const { mapped, put, consumed } = ring(384)
  assert.ok(put(1n) && put(2n) && put(3n) && !put(4n), 'nobody reads')
  const reader = new EventReader(mapped)
  assert.deepEqual(times(reader), [])
  for (let time = 5n; time < 25n; time++) {
    assert.ok(put(time))
    assert.deepEqual(times(reader), [time])
  }
  assert.equal(consumed(), BigInt(8 + event.size) * 23n)
})

test('two readers each see every record; the slower one is told what it has lost', () => {
  const { mapped, put } = ring(384)
  const [quick, slow] = [new EventReader(mapped), new EventReader(mapped)]
  put(1n)
  assert.deepEqual([times(quick), times(slow)], [[1n], [1n]])
  put(2n)
  assert.deepEqual(times(quick), [2n])
  put(3n)
  assert.deepEqual(times(slow), [2n, 3n], 'what the other one has read is still there')
  assert.deepEqual(times(quick), [3n])
  for (let time = 4n; time < 12n; time++) {
    assert.ok(put(time))
    times(quick)
  }
  assert.deepEqual(slow.read(), { events: [], lost: true })
  put(12n)
  assert.deepEqual([times(quick), slow.read()].flat().length, 2)
})
