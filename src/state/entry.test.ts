// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maps } from '#kernel/bpf/maps.ts'
import { backendState } from '#kernel/bpf/words.ts'
import { type Change, inOrder, serviceMaps } from './entry.ts'

const put = (map: Change['map'], value = '00'): Change => ({ map, key: '', value })
const backend = (state: number) => put('backends', maps.backends.value.encode({ state }).toString('hex'))

test('who points comes after what it points at, and goes before it; who drains does so when no slot leads there', () => {
  const gone = serviceMaps.map(map => ({ map, key: '', value: undefined }))
  const changes = [
    ...gone,
    backend(backendState.draining),
    ...serviceMaps.filter(m => m !== 'backends').map(m => put(m)),
    backend(backendState.active),
  ]
  const order = [
    '+backends',
    '+frontends',
    '+backend_slots',
    '+backend_sets',
    '+source_ranges',
    '+services',
    '-services',
    '-source_ranges',
    '-backend_sets',
    '-backend_slots',
    '+backends',
    '-backends',
    '-frontends',
  ]
  for (const list of [changes, changes.toReversed()])
    assert.deepEqual(
      inOrder(list).map(c => `${c.value === undefined ? '-' : '+'}${c.map}`),
      order,
    )
})
