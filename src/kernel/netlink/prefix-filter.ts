// SPDX-License-Identifier: Apache-2.0
import { baseOf, type Cidr, prefixLength } from '#net/cidr.ts'
import { toBytes } from '#net/ip.ts'

/** A set of prefixes in the kernel's own form: a busy node's rules and routes are told apart without making text of each. */
export class PrefixFilter {
  readonly #wanted: ReadonlySet<string>

  constructor(prefixes: readonly Cidr[]) {
    this.#wanted = new Set(prefixes.map(c => key(prefixLength(c) === 0 ? undefined : Buffer.from(toBytes(baseOf(c))), prefixLength(c))))
  }

  /** `address` undefined = the prefix of length 0, which the kernel sends without an address. */
  has(address: Buffer | undefined, length: number): boolean {
    return this.#wanted.has(key(address, length))
  }
}

function key(address: Buffer | undefined, length: number): string {
  return `${length}/${address?.toString('latin1') ?? ''}`
}
