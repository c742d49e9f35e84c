// SPDX-License-Identifier: Apache-2.0
import type { Cooling, Lease, Ledger, LedgerChange, LedgerState, ReleaseAnswer } from '#ipam/ledger.ts'
import type { Ip } from '#net/ip.ts'

/** The addresses of a lease, at most one of each family. */
export function addressesOf(lease: Lease): readonly Ip[] {
  const { v4, v6 } = lease.attachment
  return [v4?.address, v6?.address].filter(ip => ip !== undefined)
}

/** namespace/name of the lease's pod. */
export function podIdOf(lease: Pick<Lease, 'podNamespace' | 'podName'>): string {
  return `${lease.podNamespace}/${lease.podName}`
}

/** What decisions read of the ledger. */
export interface BookView {
  lease(containerId: string): Lease | undefined
  holder(ip: Ip): Lease | undefined
  leases(): readonly Lease[]
  cooling(): readonly Cooling[]
  coolingSince(ip: Ip): number | undefined
  releases(): readonly ReleaseAnswer[]
  release(ip: Ip): ReleaseAnswer | undefined
}

/**
 * The ledger's contents in memory. Memory changes only after the store has committed, so a decision never rests on
 * something that a crash would undo; and no address, and no ENI that a pod has for itself, is ever in two leases: such a commit is refused as a bug.
 */
export class Book implements BookView {
  readonly #ledger: Ledger
  readonly #leases = new Map<string, Lease>()
  readonly #holders = new Map<Ip, Lease>()
  readonly #cooling = new Map<Ip, Cooling>()
  readonly #releases = new Map<Ip, ReleaseAnswer>()
  readonly #listeners = new Set<() => void>()

  constructor(ledger: Ledger, state: LedgerState = ledger.load()) {
    this.#ledger = ledger
    for (const lease of state.leases) this.#put(lease)
    for (const cooling of state.cooling) this.#cooling.set(cooling.ip, cooling)
    for (const release of state.releases) this.#releases.set(release.ip, release)
  }

  lease(containerId: string): Lease | undefined {
    return this.#leases.get(containerId)
  }

  holder(ip: Ip): Lease | undefined {
    return this.#holders.get(ip)
  }

  leases(): readonly Lease[] {
    return [...this.#leases.values()]
  }

  cooling(): readonly Cooling[] {
    return [...this.#cooling.values()]
  }

  coolingSince(ip: Ip): number | undefined {
    return this.#cooling.get(ip)?.since
  }

  releases(): readonly ReleaseAnswer[] {
    return [...this.#releases.values()]
  }

  release(ip: Ip): ReleaseAnswer | undefined {
    return this.#releases.get(ip)
  }

  /** As durable as the store promises when it returns; throws what the store throws, and then nothing has changed. */
  commit(changes: readonly LedgerChange[]): void {
    if (changes.length === 0) return
    for (const change of changes) if ('put' in change && change.put === 'lease') this.#refuseDouble(change.lease)
    this.#ledger.commit(changes)
    for (const change of changes) this.#apply(change)
    for (const listener of [...this.#listeners]) listener()
  }

  /** Calls back after each commit; returns the unsubscriber. */
  onCommit(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #refuseDouble(lease: Lease): void {
    if (lease.attachment.kind === 'exclusive-eni') this.#refuseShared(lease)
    for (const ip of addressesOf(lease)) {
      const other = this.#holders.get(ip)
      if (other !== undefined && other.containerId !== lease.containerId) {
        throw new Error(`${ip} is leased by container ${other.containerId}, so ${lease.containerId} cannot have it`)
      }
    }
  }

  #refuseShared({ containerId, attachment: { eni } }: Lease): void {
    for (const other of this.#leases.values()) {
      if (other.attachment.eni.eniId === eni.eniId && other.containerId !== containerId)
        throw new Error(`ENI ${eni.eniId} is container ${other.containerId}'s, so ${containerId} cannot have it for itself`)
    }
  }

  #apply(change: LedgerChange): void {
    if ('put' in change) {
      if (change.put === 'lease') this.#put(change.lease)
      else if (change.put === 'cooling') this.#cooling.set(change.cooling.ip, change.cooling)
      else this.#releases.set(change.release.ip, change.release)
    } else if (change.drop === 'lease') this.#drop(change.containerId)
    else if (change.drop === 'cooling') this.#cooling.delete(change.ip)
    else this.#releases.delete(change.ip)
  }

  #put(lease: Lease): void {
    this.#drop(lease.containerId)
    this.#leases.set(lease.containerId, lease)
    for (const ip of addressesOf(lease)) this.#holders.set(ip, lease)
  }

  #drop(containerId: string): void {
    const lease = this.#leases.get(containerId)
    if (lease === undefined) return
    this.#leases.delete(containerId)
    for (const ip of addressesOf(lease)) this.#holders.delete(ip)
  }
}
