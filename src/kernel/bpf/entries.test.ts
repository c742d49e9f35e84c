// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { countCpus, unpackEntries } from '#kernel/bpf/entries.ts'

test('CPUs are counted as the kernel lists them', () => {
  for (const [list, count] of [
    ['0', 1],
    ['0-1\n', 2],
    ['0-3,8', 5],
    ['0,2-3,64-127\n', 67],
  ] as const)
    assert.equal(countCpus(list), count)
})

test('packed entries come apart', () => {
  const entries = unpackEntries({ keySize: 1, valueSize: 2, keys: Uint8Array.of(1, 2), values: Uint8Array.of(0xaa, 0xbb, 0xcc, 0xdd) })
  assert.deepEqual(
    entries.map(e => [Buffer.from(e.key).toString('hex'), Buffer.from(e.value).toString('hex')]),
    [
      ['01', 'aabb'],
      ['02', 'ccdd'],
    ],
  )
})
