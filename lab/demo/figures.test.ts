// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { comparedRows, figuresFrom } from './figures.ts'

test('figures are read from what the pod printed; anything else is an error that shows it', () => {
  assert.deepEqual(figuresFrom('exchange_us=41.2 connect_us=60.0\n'), { exchange: 41.2, connect: 60 })
  assert.throws(() => figuresFrom('no route\n'), /no figures: no route/)
  assert.throws(() => figuresFrom(''), /nothing was printed/)
})

test('a way has a row for each figure, with both columns and their ratio', () => {
  const compared = { way: 'two nodes', v2: { exchange: 30, connect: 45 }, regular: { exchange: 60, connect: 50 } }
  assert.deepEqual(comparedRows([compared]), [
    ['two nodes: a byte there and back', '30.0 µs', '60.0 µs', '0.50'],
    ['two nodes: a new connection', '45.0 µs', '50.0 µs', '0.90'],
  ])
})
