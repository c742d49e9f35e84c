// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Field, Fields, Kind, Struct } from '../../src/kernel/bpf/layout.ts'
import { maps, mapType } from '../../src/kernel/bpf/maps.ts'
import * as structs from '../../src/kernel/bpf/structs.ts'
import * as words from '../../src/kernel/bpf/words.ts'

/** Where the C side of the contract lives, relative to the repository. */
export const headerFile = 'bpf/layout.gen.h'

const ctypes: Readonly<Record<Kind, (name: string) => string>> = {
  u8: n => `__u8 ${n}`,
  u16: n => `__u16 ${n}`,
  u32: n => `__u32 ${n}`,
  u64: n => `__u64 ${n}`,
  be16: n => `__be16 ${n}`,
  ip4: n => `__be32 ${n}`,
  ip: n => `__be32 ${n}[4]`,
  mac: n => `__u8 ${n}[6]`,
  task: n => `char ${n}[16]`,
}
const typeNames = new Map(Object.entries(mapType).map(([name, number]) => [number, name]))

/** The structs with the assertion of each offset, the numbers as enums, and the maps by the name and type that the loader knows. */
export function renderHeader(): string {
  const enums = Object.entries(words).filter(([, w]) => typeof w === 'object')
  const numbers = Object.entries(words).filter(([, w]) => typeof w === 'number')
  return [
    '/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */',
    '/* Generated from src/kernel/bpf by tools/bpf/header.ts; do not edit. */',
    '#pragma once',
    '#include <linux/types.h>',
    '',
    ...Object.values(structs).map(s => renderStruct(s)),
    ...enums.map(([name, w]) => renderEnum(name, w as Readonly<Record<string, number>>)),
    ...numbers.map(([name, n]) => `#define ${constant(name)} ${hex(Number(n))}`),
    '',
    '/* Each is created by the loader from src/kernel/bpf/maps.ts; here the compiler learns its name and its types. */',
    '#define MAP(name, key_type, value_type) \\',
    '  struct { key_type *key; value_type *value; } name __attribute__((section(".maps"), used))',
    ...Object.values(maps).map(
      m => `MAP(${m.name}, struct ${m.key.name}, struct ${m.value.name}); /* ${typeNames.get(m.type)}, ${m.entries} entries */`,
    ),
    '',
  ].join('\n')
}

function renderStruct({ name, size, fields }: Struct<Fields>): string {
  const asserts = fields.map((f: Field) => `_Static_assert(__builtin_offsetof(struct ${name}, ${snake(f.name)}) == ${f.offset}, "");`)
  return [
    `struct ${name} {`,
    ...fields.map((f: Field) => `  ${ctypes[f.kind](snake(f.name))};`),
    '};',
    ...asserts,
    `_Static_assert(sizeof(struct ${name}) == ${size}, "");`,
    '',
  ].join('\n')
}

function renderEnum(name: string, values: Readonly<Record<string, number>>): string {
  const prefix = constant(name.replace(/Reasons$/, ''))
  return [`enum {`, ...Object.entries(values).map(([word, n]) => `  ${prefix}_${constant(word)} = ${hex(n)},`), '};', ''].join('\n')
}

function hex(n: number): string {
  return n > 0xffff ? `0x${n.toString(16)}` : String(n)
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, c => `_${c.toLowerCase()}`)
}

function constant(name: string): string {
  return snake(name).replaceAll('-', '_').toUpperCase()
}

if (import.meta.main) writeFileSync(join(import.meta.dirname, '../..', headerFile), renderHeader())
