// SPDX-License-Identifier: Apache-2.0
import type { MapName } from '#kernel/bpf/maps.ts'
import { type Change, encodeKey, full, idOf, type KeyOf, type PrefixMap, type Row, type RowValue, type World } from '../world.ts'

/** A world that is read, and the changes that a packet makes to it. */
export class Draft {
  readonly #world: World
  readonly #changes = new Map<string, Change>()

  constructor(world: World) {
    this.#world = world
  }

  get<N extends MapName>(map: N, key: Partial<KeyOf<N>>): RowValue<N> | undefined {
    const id = idOf(map, key)
    const change = this.#changes.get(`${map} ${id}`)
    if (change !== undefined) return change.value as RowValue<N> | undefined
    return this.#world[map]?.get(id)?.value as RowValue<N> | undefined
  }

  put<N extends MapName>(map: N, key: KeyOf<N>, value: Partial<RowValue<N>>): RowValue<N> {
    const whole = full(map, value)
    this.#changes.set(`${map} ${idOf(map, key)}`, { map, key, value: whole } as unknown as Change)
    return whole
  }

  delete<N extends MapName>(map: N, key: KeyOf<N>): void {
    if (this.get(map, key) !== undefined) this.#changes.set(`${map} ${idOf(map, key)}`, { map, key, value: undefined } as unknown as Change)
  }

  /** The longest of the prefixes of a map that the key begins with: key and prefix are compared bit by bit. */
  longest<N extends PrefixMap>(map: N, key: Omit<KeyOf<N>, 'prefixLength'>): RowValue<N> | undefined {
    const wanted = bits(encodeKey(map, key as Partial<KeyOf<N>>).subarray(4))
    const rows = this.#world[map]
    let best: Prefix | undefined
    for (const prefix of rows === undefined ? [] : prefixesOf(rows)) {
      if (wanted.startsWith(prefix.bits) && prefix.bits.length >= (best?.bits.length ?? 0)) best = prefix
    }
    return best?.value as RowValue<N> | undefined
  }

  /** Everything written, also what was so before. */
  changes(): Change[] {
    return [...this.#changes.values()]
  }
}

interface Prefix {
  readonly bits: string
  readonly value: unknown
}
const known = new WeakMap<ReadonlyMap<string, Row>, readonly Prefix[]>()

function prefixesOf(rows: ReadonlyMap<string, Row>): readonly Prefix[] {
  const made = known.get(rows) ?? [...rows].map(([id, { value }]) => prefixOf(Buffer.from(id, 'hex'), value))
  known.set(rows, made)
  return made
}

function prefixOf(key: Buffer, value: unknown): Prefix {
  return { bits: bits(key.subarray(4)).slice(0, key.readUInt32LE(0)), value }
}

function bits(bytes: Uint8Array): string {
  return Array.from(bytes, b => b.toString(2).padStart(8, '0')).join('')
}
