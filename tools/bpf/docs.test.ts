// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { maps, mapType } from '../../src/kernel/bpf/maps.ts'
import { dropReasons, path } from '../../src/kernel/bpf/words.ts'
import { root } from '../components.ts'

const datapath = readFileSync(join(root, 'docs/datapath.md'), 'utf8')
const names = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? '')

test('docs/datapath.md tells of every drop reason by its number', () => {
  const rows = [...datapath.matchAll(/^\| (\d[\d, ]*) \| ([^|]+) \|/gm)].flatMap(([, numbers = '', cell = '']) => {
    const of = names(cell)
    return numbers.split(', ').map((n, i) => [of[i] ?? '', Number(n)] as const)
  })
  assert.deepEqual(Object.fromEntries(rows), dropReasons)
})

test('docs/datapath.md draws every way', () => {
  const missing = Object.keys(path).filter(name => !new RegExp(`\\b${name}\\b`).test(datapath))
  assert.deepEqual(missing, [])
})

/** As the table calls them. */
const types: Readonly<Record<keyof typeof mapType, string>> = {
  ...{ hash: 'hash', array: 'array', percpuHash: 'per CPU hash', percpuArray: 'per CPU', lruHash: 'LRU', lpmTrie: 'longest prefix' },
  ringBuffer: 'ring buffer',
}

test('docs/maps.md tells of every map, its type and its size', () => {
  const text = readFileSync(join(root, 'docs/maps.md'), 'utf8')
  const told = new Map([...text.matchAll(/^\| `(\w+)` \| ([^|]+) \|/gm)].map(([, name = '', cell = '']) => [name, cell]))
  const shown = (n: number, type: string) =>
    type === 'ring buffer' ? `${n / 1024} KiB` : n > 9999 ? n.toLocaleString('en').replaceAll(',', ' ') : String(n)
  const typeOf = (number: number) => Object.entries(types).find(([name]) => mapType[name as keyof typeof mapType] === number)?.[1] ?? ''
  const wanted = Object.entries(maps).map(([name, m]) => [name, `${typeOf(m.type)}, ${shown(m.entries, typeOf(m.type))}`] as const)
  assert.deepEqual(Object.fromEntries(told), Object.fromEntries(wanted))
})
