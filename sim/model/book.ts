// SPDX-License-Identifier: Apache-2.0
import { type Block, blockSize, formatAddress, lastAddress, parseAddress } from './address.ts'

/** Why an address cannot be taken. */
export type Refusal = 'malformed' | 'outside' | 'reserved' | 'taken'

/**
 * Who holds which address of one vSwitch block. The first and the last three addresses are reserved (VPC documentation,
 * vSwitch overview). A free address is found lowest first: a released address is reused at once, which is the hardest
 * order for a client (DIFFERENCES.md, address order).
 */
export class AddressBook {
  readonly block: Block
  readonly #holders = new Map<bigint, string>()
  /** No free address lies below this one. */
  #floor: bigint

  constructor(block: Block) {
    this.block = block
    this.#floor = block.base + 1n
  }

  /** Free addresses, as AvailableIpAddressCount of DescribeVSwitches tells them for IPv4. */
  get available(): number {
    const usable = blockSize(this.block) - 4n
    return Math.max(0, Number(usable) - this.#holders.size)
  }

  holder(address: string): string | undefined {
    const parsed = parseAddress(address)
    return parsed?.family === this.block.family ? this.#holders.get(parsed.value) : undefined
  }

  /** The `count` lowest free addresses that are not in `except`, fewer when there are not so many. Takes nothing. */
  free(count: number, except: readonly string[] = []): string[] {
    const end = lastAddress(this.block) - 3n
    while (this.#holders.has(this.#floor)) this.#floor++
    const found: string[] = []
    for (let value = this.#floor; value <= end && found.length < count; value++) {
      if (this.#holders.has(value)) continue
      const address = formatAddress(value, this.block.family)
      if (!except.includes(address)) found.push(address)
    }
    return found
  }

  refusal(address: string): Refusal | undefined {
    const parsed = parseAddress(address)
    if (parsed === undefined || parsed.family !== this.block.family) return 'malformed'
    if (parsed.value < this.block.base || parsed.value > lastAddress(this.block)) return 'outside'
    if (parsed.value === this.block.base || parsed.value > lastAddress(this.block) - 3n) return 'reserved'
    return this.#holders.has(parsed.value) ? 'taken' : undefined
  }

  take(address: string, holder: string): void {
    const refusal = this.refusal(address)
    const parsed = parseAddress(address)
    if (refusal !== undefined || parsed === undefined) throw new Error(`address ${address} cannot be taken for ${holder}: ${refusal}`)
    this.#holders.set(parsed.value, holder)
  }

  release(address: string): void {
    const parsed = parseAddress(address)
    if (parsed === undefined) return
    this.#holders.delete(parsed.value)
    if (parsed.value < this.#floor) this.#floor = parsed.value
  }
}
