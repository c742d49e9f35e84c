// SPDX-License-Identifier: Apache-2.0
import type { Cooling, Lease, Ledger, LedgerChange, LedgerState, ReleaseAnswer } from '#ipam/ledger.ts'
import type { Ip } from '#net/ip.ts'

/** What a ledger's disk holds; outlives the LedgerMemory that writes it, as a file outlives a process. */
export interface LedgerDisk {
  bootId: string
  leases: Map<string, Lease>
  cooling: Map<Ip, Cooling>
  releases: Map<Ip, ReleaseAnswer>
}

export function emptyDisk(): LedgerDisk {
  return { bootId: '', leases: new Map(), cooling: new Map(), releases: new Map() }
}

/** A ledger in memory with the same promises; for simulation and unit tests. `fault` may throw before a commit changes anything. */
export class LedgerMemory implements Ledger {
  readonly disk: LedgerDisk
  fault: () => void = () => {}
  readonly #state: LedgerState

  constructor(disk: LedgerDisk = emptyDisk(), bootId = 'boot') {
    this.disk = disk
    if (disk.bootId !== bootId) {
      disk.bootId = bootId
      disk.leases.clear()
      disk.cooling.clear()
    }
    this.#state = { leases: [...disk.leases.values()], cooling: [...disk.cooling.values()], releases: [...disk.releases.values()] }
  }

  load(): LedgerState {
    return this.#state
  }

  commit(changes: readonly LedgerChange[]): void {
    this.fault()
    for (const change of changes) {
      if ('put' in change) {
        if (change.put === 'lease') this.disk.leases.set(change.lease.containerId, change.lease)
        else if (change.put === 'cooling') this.disk.cooling.set(change.cooling.ip, change.cooling)
        else this.disk.releases.set(change.release.ip, change.release)
      } else if (change.drop === 'lease') this.disk.leases.delete(change.containerId)
      else if (change.drop === 'cooling') this.disk.cooling.delete(change.ip)
      else this.disk.releases.delete(change.ip)
    }
  }

  close(): void {}
}
