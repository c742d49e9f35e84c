// SPDX-License-Identifier: Apache-2.0
import { setImmediate } from 'node:timers/promises'
import { readSlice } from '#kernel/bpf/entries.ts'
import type { MapName } from '#kernel/bpf/maps.ts'
import { nodePins } from '#kernel/bpf/pins.ts'
import type { EntryOp } from '#kernel/op.ts'
import type { ApplyResult, MapPage, PinnedMaps } from '#kernel/port.ts'
import type { EntryKey, EntryState } from '#kernel/state.ts'
import { Pinned } from '#kernel/worker/pinned.ts'
import { refusal } from '#kernel/worker/refusal.ts'

/** A page takes less than a millisecond. */
const pageEntries = 2048
/** So many calls take a millisecond or two: others get their turn afterwards. */
const many = 100

/** The real maps; `pins` is the directory where they are pinned. Nothing is opened before it is asked for. */
export function makePinnedMaps(pins = nodePins): PinnedMaps {
  return new RealMaps(new Pinned(pins))
}

class RealMaps implements PinnedMaps {
  readonly #pinned: Pinned

  constructor(pinned: Pinned) {
    this.#pinned = pinned
  }

  async apply(ops: readonly EntryOp[]): Promise<ApplyResult> {
    this.#pinned.recheck()
    const result = this.#performAll(ops)
    if (ops.length > many) await setImmediate()
    return result
  }

  async lookUp(asked: readonly EntryKey[]): Promise<readonly EntryState[]> {
    try {
      this.#pinned.recheck()
      const found = asked.flatMap(({ map, key }) => this.#pinned.entry(map, key) ?? [])
      if (asked.length > many) await setImmediate()
      return found
    } catch (e) {
      throw refusal(e, 'look at entries of maps')
    }
  }

  async mapPage(map: MapName, after: Uint8Array | undefined): Promise<MapPage> {
    try {
      if (after !== undefined) await setImmediate()
      this.#pinned.recheck()
      const fd = this.#pinned.map(map)
      if (fd === undefined) return { entries: [], next: undefined }
      const { keySize, valueSize, keys, values, next } = readSlice(map, fd, after, pageEntries)
      // One conversion for all: a page is of entries that are small.
      const [keyText, valueText] = [hexOf(keys), hexOf(values)]
      const part = (text: string, size: number, i: number) => text.slice(2 * size * i, 2 * size * (i + 1))
      const entry = (_: unknown, i: number) => ({ map, key: part(keyText, keySize, i), value: part(valueText, valueSize, i) })
      return { entries: Array.from({ length: keys.length / keySize }, entry), next }
    } catch (e) {
      throw refusal(e, `read the map ${map}`)
    }
  }

  close(): void {
    this.#pinned.release()
  }

  #performAll(ops: readonly EntryOp[]): ApplyResult {
    let done = 0
    for (const op of ops) {
      try {
        if (op.op === 'map-put') this.#pinned.put(op.map, op.key, op.value)
        else this.#pinned.delete(op.map, op.key)
      } catch (e) {
        return { done: ops.slice(0, done), failed: refusal(e, 'refused by the kernel', op) }
      }
      done++
    }
    return { done: ops }
  }
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}
