// SPDX-License-Identifier: Apache-2.0
import { getSystemErrorName } from 'node:util'
import { SystemCallError } from '#kernel/ffi.ts'
import { Attr } from '#kernel/ffi-bpf-call.ts'

/** ENOTSUPP, which no C library knows. */
const unsupported = getSystemErrorName(-524)

export interface Batch {
  readonly count: number
  readonly isLast: boolean
}

/**
 * Reads as many entries as `room` says into `keys` and `values`, from where an earlier batch wrote into `next`, or from the first on.
 * Undefined where the kernel has no batches of this type of map.
 */
export function lookupBatch(
  map: number,
  after: Uint8Array | undefined,
  next: Uint8Array,
  { keys, values, room }: { readonly keys: Uint8Array; readonly values: Uint8Array; readonly room: number },
): Batch | undefined {
  const attr = new Attr(56).pointer(8, next).pointer(16, keys).pointer(24, values).u32(32, room).u32(36, map)
  if (after !== undefined) attr.pointer(0, after)
  try {
    attr.call('lookupBatch')
    return { count: attr.read(32), isLast: false }
  } catch (e) {
    if (!(e instanceof SystemCallError)) throw e
    if (e.errno === unsupported) return undefined
    if (e.errno === 'ENOENT') return { count: attr.read(32), isLast: true }
    throw e
  }
}

/** Puts the first `count` of these entries, in the place of those that are there. */
export function updateBatch(
  map: number,
  { keys, values }: { readonly keys: Uint8Array; readonly values: Uint8Array },
  count: number,
): void {
  if (count > 0) new Attr(56).pointer(16, keys).pointer(24, values).u32(32, count).u32(36, map).call('updateBatch')
}
