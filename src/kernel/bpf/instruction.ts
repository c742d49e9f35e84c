// SPDX-License-Identifier: Apache-2.0

/** One eBPF instruction of 8 bytes: for programs so small that a probe writes them by hand. */
export function instruction(code: number, destination = 0, source = 0, value = 0): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt8(code, 0)
  bytes.writeUInt8((source << 4) | destination, 1)
  bytes.writeInt32LE(value, 4)
  return bytes
}

const [move, call, exit] = [0xb7, 0x85, 0x95]

/** r`register` = value */
export const set = (register: number, value: number) => instruction(move, register, 0, value)

/** A program that calls a helper with numbers as its arguments, the packet's context first if so said, and returns `verdict`. */
export function callingProgram(
  verdict: number,
  helper?: { readonly id: number; readonly packet?: boolean; readonly numbers: readonly number[] },
): Buffer {
  const { id, packet = false, numbers = [] } = helper ?? {}
  const first = packet ? 2 : 1
  // A helper that takes the packet finds it in r1, where the program began with it.
  const args = numbers.map((n, i) => set(first + i, n))
  return Buffer.concat([...args, ...(id === undefined ? [] : [instruction(call, 0, 0, id)]), set(0, verdict), instruction(exit)])
}
