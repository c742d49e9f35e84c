// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Fields } from '../src/kernel/bpf/layout.ts'
import { maps } from '../src/kernel/bpf/maps.ts'
import { programNames } from '../src/kernel/bpf/programs.ts'
import { conflicts } from './bpf-compatible.ts'
import { type Contract, contract, keptReleases, objectOf } from './bpf-release.ts'

test('every release that was kept and this tree run on the same maps', () => {
  const releases = keptReleases()
  assert.ok(releases.length > 0)
  for (const release of releases) assert.deepEqual(conflicts(release, contract()), [], release.version)
})

test("the kept programs are whole: this tree's loader knows each, and the release has every map that they take", () => {
  for (const release of keptReleases()) {
    const { programs, generation } = objectOf(release)
    assert.match(generation, /^[0-9a-f]{12}$/)
    for (const { name, relocations } of programs) {
      assert.ok(programNames.includes(name), name)
      const taken = relocations.map(r => r.map).filter(map => map !== 'rodata')
      for (const map of taken) assert.ok(release.maps[map] !== undefined && maps[map] !== undefined, `${name} takes ${map}`)
    }
  }
})

/** One map from a number to these fields. */
function oneMap(fields: Fields, size: number, more: Partial<Contract['maps'][string]> = {}): Contract {
  const map = { layout: 1, type: 1, flags: 0, entries: 8, key: 'index', value: 'thing', ...more }
  return { maps: { things: map }, structs: { index: { size: 4, fields: { index: 'u32' } }, thing: { size, fields } }, words: {} }
}

const older = oneMap({ a: 'u32', b: 'u16', spare0: 'u16', spare1: 'u64' }, 16)

test('what a layout may become', () => {
  for (const newer of [
    older,
    oneMap({ a: 'u32', b: 'u16', c: 'u8', spare0: 'u8', d: 'u32', spare1: 'u32' }, 16, { entries: 16 }),
    oneMap({ b: 'u64', a: 'u64', c: 'u64' }, 24, { layout: 2, type: 9 }),
  ])
    assert.deepEqual(conflicts(older, newer), [])
  assert.deepEqual(conflicts({ ...older, words: { 'way.direct': 1 } }, { ...older, words: { 'way.direct': 1, 'way.other': 2 } }), [])
})

test('what a layout may not become', () => {
  const rows: readonly (readonly [Contract, readonly string[]])[] = [
    [oneMap({ a: 'u32', b: 'u16', spare0: 'u16' }, 8), ['value of things had 16 bytes, and has 8']],
    [oneMap({ a: 'u32', b: 'u16', spare0: 'u16', spare1: 'u64' }, 16, { type: 9 }), ['things was of type 1, and is of 9']],
    [oneMap({ a: 'u32', spare: 'u32', spare1: 'u64' }, 16), ['value of things: b was u16 at 4, and is gone']],
    [oneMap({ a: 'u32', b: 'be16', spare0: 'u16', spare1: 'u64' }, 16), ['value of things: b was u16 at 4, and is be16 at 4']],
    [oneMap({ a: 'u32', spare0: 'u16', b: 'u16', spare1: 'u64' }, 16), ['value of things: b was u16 at 4, and is u16 at 6']],
    [
      oneMap({ a: 'u32', c: 'u16', spare0: 'u16', spare1: 'u64' }, 16),
      ['value of things: b was u16 at 4, and is gone', 'value of things: c is where b was'],
    ],
  ]
  for (const [newer, told] of rows) assert.deepEqual(conflicts(older, newer), told)
  const words = { ...older, words: { 'drop.a': 1, 'drop.b': 2 } }
  assert.deepEqual(conflicts(words, { ...older, words: { 'drop.a': 2 } }), ['drop.a was 1, and is 2', 'drop.b was 2, and is gone'])
})
