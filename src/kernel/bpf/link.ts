// SPDX-License-Identifier: Apache-2.0
import type { MapName } from '#kernel/bpf/maps.ts'
import type { BpfObject, BpfProgram } from '#kernel/bpf/object.ts'

const instructionSize = 8
/** BPF_PSEUDO_MAP_FD and BPF_PSEUDO_MAP_VALUE: what the number in the instruction stands for. */
const source = { map: 1, mapValue: 2 } as const

/** Descriptors of the maps that instructions name. */
export type MapFds = ReadonlyMap<MapName | 'rodata', number>

/** The instructions of a program with the maps' descriptors in them. */
export function linkProgram({ name, instructions, relocations }: BpfProgram, fds: MapFds): Buffer {
  const linked = Buffer.from(instructions, 'base64')
  for (const { at, map, offset } of relocations) {
    const fd = fds.get(map)
    if (fd === undefined) throw new RangeError(`instruction ${at} of ${name} takes ${map}, which there is not`)
    const start = at * instructionSize
    const kind = map === 'rodata' ? source.mapValue : source.map
    linked.writeUInt8((linked.readUInt8(start + 1) & 0x0f) | (kind << 4), start + 1)
    linked.writeUInt32LE(fd, start + 4)
    // The load of a 64-bit number is two instructions; the second one's number is the offset into the value.
    linked.writeUInt32LE(kind === source.mapValue ? offset : 0, start + instructionSize + 4)
  }
  return linked
}

/** The bytes of the constants, with other values for some. */
export function constantsOf({ rodata }: BpfObject, values: Readonly<Record<string, number>> = {}): Buffer {
  const bytes = Buffer.from(rodata.bytes, 'base64')
  for (const [name, value] of Object.entries(values)) {
    const variable = rodata.variables[name]
    if (variable === undefined) throw new RangeError(`the programs have no constant ${name}`)
    const { offset, size } = variable
    if (size === 8) bytes.writeBigUInt64LE(BigInt(value), offset)
    else bytes.writeUIntLE(value, offset, size)
  }
  return bytes
}
