// SPDX-License-Identifier: Apache-2.0
import { baseOf, type Cidr, prefixLength } from '#net/cidr.ts'
import { toBytes } from '#net/ip.ts'

/** A set of prefixes in the kernel's own form: a busy node's rules and routes are told apart without making text of each. */
export class PrefixFilter {
  readonly #wanted: ReadonlySet<string | number>

  constructor(prefixes: readonly Cidr[]) {
    this.#wanted = new Set(prefixes.map(c => key(prefixLength(c) === 0 ? undefined : Buffer.from(toBytes(baseOf(c))), prefixLength(c))))
  }

  /** `address` undefined = the prefix of length 0, which the kernel sends without an address. */
  has(address: Buffer | undefined, length: number): boolean {
    return this.#wanted.has(key(address, length))
  }
}

/** A number for IPv4, which is what a full node has hundreds of: no text is made and hashed for each. */
function key(address: Buffer | undefined, length: number): string | number {
  if (address === undefined) return length
  return address.length === 4 ? length * 2 ** 32 + address.readUInt32BE() : `${length}/${address.toString('latin1')}`
}
