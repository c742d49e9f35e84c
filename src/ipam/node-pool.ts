// SPDX-License-Identifier: Apache-2.0
import type { Cidr } from '#net/cidr.ts'
import type { Family, Ip } from '#net/ip.ts'
import type { Mac } from '#net/mac.ts'

export type AddressState = 'idle' | 'leased' | 'cooling' | 'releasing' | 'barred'

/** One address of the node as the daemon may use it now. */
export interface PoolAddress {
  readonly ip: Ip
  readonly family: Family
  readonly eniId: string
  readonly state: AddressState
  /** Why it is in this state, for people; empty for a plain idle address. */
  readonly reason: string
  /** When it was last released here (wall ms); 0 = never. Idle addresses are given oldest first. */
  readonly releasedAt: number
  /** As Node.status has it. */
  readonly status: string
  readonly primary: boolean
  readonly podId?: string
  readonly podUid?: string
}

export interface PoolEni {
  readonly eniId: string
  readonly mac: Mac
  readonly status: string
  /** InUse and not unschedulable: its idle addresses may be leased. */
  readonly usable: boolean
  readonly reason: string
  readonly subnet4?: Cidr
  readonly subnet6?: Cidr
  readonly addresses: readonly PoolAddress[]
  /** `InsufficientIP: message`, as the controller reports them. */
  readonly conditions: readonly string[]
}

export interface PoolView {
  readonly enis: readonly PoolEni[]
  /** Number of addresses by family and state. */
  readonly counts: Readonly<Record<Family, Readonly<Record<AddressState, number>>>>
}
