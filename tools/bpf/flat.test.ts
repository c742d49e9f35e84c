// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { root } from '../components.ts'
import { findClang } from './clang.ts'
import { compile } from './compile.ts'
import { flatten } from './flat.ts'

const directory = mkdtempSync(join(tmpdir(), 'terway-flat-'))
after(() => rmSync(directory, { recursive: true, force: true }))

const clang = findClang()
let number = 0
function object(body: string): Buffer {
  const source = join(directory, `${++number}.c`)
  writeFileSync(source, `#include <linux/bpf.h>\n#include "${root}/bpf/layout.gen.h"\n${body}`)
  return compile(clang, source, `${source}.o`)
}

const lookup = 'static void *(*const lookup)(void *map, const void *key) = (void *)1;\n'
const program = (name: string, body: string) =>
  `__attribute__((section("tc"))) int ${name}(struct __sk_buff *skb) {\n(void)skb;\n${body}\n}\n`
const podIn = `${lookup}const volatile __u32 limit = 7;\n${program('pod_in', '__u32 k = 0; return lookup(&paths, &k) ? limit : 2;')}`

/** The instructions, one by one. */
function words(instructions: string): string[] {
  const code = Buffer.from(instructions, 'base64')
  return Array.from({ length: code.length / 8 }, (_, i) => code.toString('hex', i * 8, i * 8 + 8))
}

test('a program with a map and a constant, instruction by instruction', () => {
  const { programs, rodata } = flatten([object(podIn)])
  const [first] = programs
  assert.deepEqual(
    programs.map(p => p.name),
    ['pod_in'],
  )
  assert.deepEqual(words(first?.instructions ?? ''), [
    'b401000000000000', // w1 = 0
    '631afcff00000000', // *(u32 *)(r10 - 4) = r1
    'bfa2000000000000', // r2 = r10
    '07020000fcffffff', // r2 += -4
    '1801000000000000', // r1 = the map
    '0000000000000000',
    '8500000001000000', // call 1
    'bf01000000000000', // r1 = r0
    'b400000002000000', // w0 = 2
    '1501030000000000', // if r1 == 0 goto the end
    '1801000000000000', // r1 = the constant
    '0000000000000000',
    '6110000000000000', // r0 = *(u32 *)r1
    '9500000000000000', // exit
  ])
  assert.deepEqual(first?.relocations, [
    { at: 4, map: 'paths', offset: 0 },
    { at: 10, map: 'rodata', offset: 0 },
  ])
  assert.deepEqual(rodata, { bytes: Buffer.from([7, 0, 0, 0]).toString('base64'), variables: { limit: { offset: 0, size: 4 } } })
})

test('a constant that two files have from one header is one, and the others move', () => {
  const shared = 'const volatile __u32 limit = 7;\n'
  const table = 'static const volatile __u64 table[] = {1, 2, 3};\n'
  const eniIn = object(`${table}${shared}${program('eni_in', 'return table[skb->len % 3] + limit;')}`)
  const { programs, rodata } = flatten([object(podIn), eniIn])
  assert.deepEqual(rodata.variables.limit, { offset: 0, size: 4 })
  const at = rodata.variables.table?.offset ?? 0
  const bytes = Buffer.from(rodata.bytes, 'base64')
  assert.deepEqual(
    [0, 8, 16].map(o => bytes.readBigUInt64LE(at + o)),
    [1n, 2n, 3n],
  )
  assert.equal(at % 8, 0)
  const used = programs.find(p => p.name === 'eni_in')?.relocations.map(r => r.offset)
  assert.deepEqual(used?.sort(), [0, at].sort())
})

test('constants of one name and two values are refused', () => {
  const other = `const volatile __u32 limit = 8;\n${program('pod_out', 'return limit;')}`
  assert.throws(() => flatten([object(podIn), object(other)]), /two constants with the name limit/)
})

test('the generation follows instructions and constants, and nothing else', () => {
  const generations = [podIn, `/* the same */ ${podIn}`, podIn.replace(': 2', ': 3'), podIn.replace('= 7', '= 8')].map(
    body => flatten([object(body)]).generation,
  )
  assert.match(generations[0] ?? '', /^[0-9a-f]{12}$/)
  assert.equal(generations[0], generations[1])
  assert.equal(new Set(generations).size, 3)
})

test('what cannot be loaded is refused with the names of program and symbol', () => {
  const noinline = '__attribute__((noinline)) static int helper(int a) { return a * 3 + 1; }\n'
  const cases = [
    [`${noinline}${program('pod_in', 'return helper(skb->len);')}`, /pod_in calls helper: make it __always_inline/],
    [
      `__attribute__((section("tc"))) ${noinline}${program('pod_in', 'return helper(skb->len);')}`,
      /pod_in calls helper: make it __always_inline/,
    ],
    [`static int seen;\n${program('pod_in', 'return __sync_fetch_and_add(&seen, 1);')}`, /pod_in uses seen, which is neither/],
    [`extern int elsewhere;\n${program('pod_in', 'return elsewhere;')}`, /pod_in needs elsewhere, which is not in its file/],
    [`${lookup}MAP(mine, __u32, __u32);\n${program('pod_in', '__u32 k = 0; return lookup(&mine, &k) != 0;')}`, /uses the map mine/],
    [program('another', 'return 0;'), /another is no program/],
  ] as const
  for (const [body, message] of cases) assert.throws(() => flatten([object(body)]), message)
})

test('other files than objects of BPF are refused', () => {
  assert.throws(() => flatten([Buffer.from('#!/bin/sh')]), /not an ELF file/)
  const foreign = object(podIn)
  foreign.writeUInt16LE(62, 18)
  assert.throws(() => flatten([foreign]), /not an ELF file of little-endian BPF/)
})
