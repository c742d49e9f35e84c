// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { test } from 'node:test'
import { eachLine, Lines } from './lines.ts'

test('lines come out whole, however the stream is cut', () => {
  const text = 'one\n\ntwo ü\nthree\ncut off'
  const bytes = Buffer.from(text)
  for (let size = 1; size <= bytes.length; size++) {
    const lines = new Lines()
    const got: string[] = []
    for (let i = 0; i < bytes.length; i += size) lines.push(bytes.subarray(i, i + size), l => got.push(l))
    assert.deepEqual(got, ['one', 'two ü', 'three'], `chunks of ${size}`)
  }
})

test('the lines of a stream are heard until it ends, is cut off, or somebody has enough', async () => {
  const got: string[] = []
  const whole = () => Readable.from([Buffer.from('one\ntw'), Buffer.from('o\n')], { objectMode: false })
  await eachLine(whole(), l => got.push(l))
  assert.deepEqual(got, ['one', 'two'])

  const cut = new PassThrough()
  const reading = eachLine(cut, l => got.push(l))
  cut.write('three\n')
  cut.destroy(new Error('cut off'))
  await assert.rejects(reading, /cut off/)

  const enough = new Error('enough')
  const stream = whole()
  await assert.rejects(
    eachLine(stream, () => {
      throw enough
    }),
    enough,
  )
  assert.ok(stream.destroyed)
})
