// SPDX-License-Identifier: Apache-2.0
import { type MapName, maps, mapType } from '#kernel/bpf/maps.ts'
import type { EntryOp } from '#kernel/op.ts'
import { type ApplyResult, KernelError, type MapPage, type PinnedMaps } from '#kernel/port.ts'
import type { EntryKey, EntryState } from '#kernel/state.ts'

const pageSize = 16

/** The pinned maps of a kernel, in memory: what the real one would answer to those who write entries and look at them. */
export class MapsModel implements PinnedMaps {
  /** In the order in which entries were put, as bytes in hex; undefined while no map is pinned. */
  #maps: Map<MapName, Map<string, string>> | undefined
  /** The most entries of a map, where it is not its usual number. */
  readonly limits: Partial<Record<MapName, number>> = {}
  /** Every change that was made, as the operation. */
  readonly done: EntryOp[] = []
  /** Asked before each operation: an errno refuses it, `die` rejects the whole call from here on. */
  refuse: (op: EntryOp) => string | undefined = () => undefined
  /** Looked at after each operation that was done. */
  check: () => void = () => undefined

  /** terwayd has made the maps: empty, but for arrays. */
  pin(): void {
    this.#maps = new Map()
    for (const { name, type, key, value, entries } of Object.values(maps)) {
      const made = new Map<string, string>()
      if (type === mapType.array)
        for (let index = 0; index < entries; index++) made.set(key.encode({ index }).toString('hex'), '00'.repeat(value.size))
      this.#maps.set(name, made)
    }
  }

  unpin(): void {
    this.#maps = undefined
  }

  entries(map: MapName): Map<string, string> {
    const found = this.#maps?.get(map)
    if (found === undefined) throw new Error(`${map} is not pinned`)
    return found
  }

  async apply(ops: readonly EntryOp[]): Promise<ApplyResult> {
    // The answer comes later.
    await Promise.resolve()
    const done: EntryOp[] = []
    for (const op of ops) {
      const errno = this.refuse(op) ?? this.#change(op)
      if (errno === 'die') throw new KernelError('kernel-refused', 'the kernel cannot be asked')
      if (errno !== undefined) return { done, failed: new KernelError('kernel-refused', 'refused by the kernel', { errno, op }) }
      done.push(op)
      this.done.push(op)
      this.check()
    }
    return { done }
  }

  async lookUp(asked: readonly EntryKey[]): Promise<readonly EntryState[]> {
    await Promise.resolve()
    return asked.flatMap(({ map, key }) => {
      const value = this.#maps?.get(map)?.get(key)
      return value === undefined ? [] : [{ map, key, value }]
    })
  }

  async mapPage(map: MapName, after: Uint8Array | undefined): Promise<MapPage> {
    await Promise.resolve()
    const from = after === undefined ? 0 : Buffer.from(after).readUInt32LE(0)
    const all = [...(this.#maps?.get(map) ?? [])].map(([key, value]) => ({ map, key, value }))
    const next = Buffer.alloc(4)
    next.writeUInt32LE(from + pageSize)
    return { entries: all.slice(from, from + pageSize), next: from + pageSize < all.length ? next : undefined }
  }

  close(): void {}

  #change(op: EntryOp): string | undefined {
    if (op.op === 'map-del') {
      this.#maps?.get(op.map)?.delete(op.key)
      return undefined
    }
    const map = this.#maps?.get(op.map)
    if (map === undefined) return 'ENOENT'
    if (!map.has(op.key) && map.size >= (this.limits[op.map] ?? maps[op.map].entries)) return 'E2BIG'
    map.set(op.key, op.value)
    return undefined
  }
}
