// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import type { Fields } from '../src/kernel/bpf/layout.ts'
import { maps } from '../src/kernel/bpf/maps.ts'
import type { BpfObject } from '../src/kernel/bpf/object.ts'
import * as structs from '../src/kernel/bpf/structs.ts'
import * as words from '../src/kernel/bpf/words.ts'
import { bpfObject } from './bpf/compile.ts'
import { root } from './components.ts'

/** What a release shares with those before and after it: the maps that outlive its processes, and the numbers in them. */
export interface Contract {
  readonly maps: Readonly<Record<string, ReleaseMap>>
  readonly structs: Readonly<Record<string, ReleaseStruct>>
  /** `mode.guard` and so on. */
  readonly words: Readonly<Record<string, number>>
}
export interface ReleaseMap {
  readonly layout: number
  readonly type: number
  readonly flags: number
  readonly entries: number
  /** Names of structs. */
  readonly key: string
  readonly value: string
}
export interface ReleaseStruct {
  readonly size: number
  readonly fields: Fields
}

export interface Release extends Contract {
  readonly version: string
  /** The programs as they are in the image: JSON, gzip, base64. */
  readonly object: string
}

const directory = join(root, 'test/bpf-releases')

/** Every release that was kept, the oldest first. */
export function keptReleases(): Release[] {
  return readdirSync(directory)
    .filter(file => file.endsWith('.json'))
    .map((file): Release => JSON.parse(readFileSync(join(directory, file), 'utf8')))
    .sort((a, b) => a.version.localeCompare(b.version, 'en', { numeric: true }))
}

export function objectOf({ object }: Release): BpfObject {
  return JSON.parse(gunzipSync(Buffer.from(object, 'base64')).toString())
}

/** The contract of this tree. */
export function contract(): Contract {
  return {
    maps: Object.fromEntries(
      Object.entries(maps).map(([name, { layout, type, flags, entries, key, value }]) => {
        return [name, { layout, type, flags, entries, key: key.name, value: value.name }]
      }),
    ),
    structs: Object.fromEntries(
      Object.values(structs).map(({ name, size, fields }) => [
        name,
        { size, fields: Object.fromEntries(fields.map(f => [f.name, f.kind])) },
      ]),
    ),
    words: Object.fromEntries(
      Object.entries(words).flatMap(([name, value]) => {
        return typeof value === 'number' ? [[name, value]] : Object.entries(value).map(([word, number]) => [`${name}.${word}`, number])
      }),
    ),
  }
}

/** Keeps the release that this tree is. One that is kept never changes. */
export function keepRelease(version: string): string {
  const release: Release = { version, ...contract(), object: gzipSync(JSON.stringify(bpfObject()), { level: 9 }).toString('base64') }
  const file = join(directory, `${version}.json`)
  writeFileSync(file, `${JSON.stringify(release, null, 2)}\n`, { flag: 'wx' })
  return file
}

if (import.meta.main) {
  const [version = ''] = process.argv.slice(2)
  if (!/^\d+\.\d+\.\d+/.test(version)) throw new Error('usage: node tools/bpf-release.ts <version>')
  console.log(keepRelease(version))
}
