// SPDX-License-Identifier: Apache-2.0
import type { VSwitch } from '#cloud/port.ts'
import type { Priority } from '#cloud/throttle.ts'
import type { Pool } from '#ipam/pool.ts'

/**
 * What to do with one node's addresses, most urgent first. `record` actions only change the Node CR; the others are one cloud
 * call each (assign: one per family).
 */
export type CloudAction =
  /** Record: the cloud reports the ENI attached. */
  | { readonly do: 'settle'; readonly eniId: string }
  /** Record: ask the daemon to give addresses back; `whole`: the ENI with all of them. */
  | { readonly do: 'mark-release'; readonly eniId: string; readonly addresses: readonly string[]; readonly whole: boolean }
  /**
   * Record: the daemon refused. A refusal on an ENI under removal cancels the removal, and one that is not attached has to be
   * again; but of one that is `lost` there is nothing to keep: it is asked for again when its pods have gone.
   */
  | { readonly do: 'unmark'; readonly eniId: string; readonly addresses: readonly string[]; readonly eni: 'InUse' | 'Available' | 'lost' }
  /** Record: forget addresses that are ours no more, or a primary address that was barred for a removal that did not happen. */
  | { readonly do: 'forget-addresses'; readonly eniId: string; readonly addresses: readonly string[] }
  /** Record: the ENI does not exist any more. */
  | { readonly do: 'forget-eni'; readonly eniId: string }
  | { readonly do: 'attach'; readonly eniId: string; readonly priority: Priority }
  | {
      readonly do: 'assign'
      readonly eniId: string
      readonly vSwitchId: string
      readonly ipv4: number
      readonly ipv6: number
      readonly priority: Priority
    }
  | {
      readonly do: 'create-eni'
      readonly vSwitchId: string
      readonly type: 'Secondary' | 'Trunk'
      readonly ipv4: number
      readonly ipv6: number
      readonly priority: Priority
    }
  | { readonly do: 'unassign'; readonly eniId: string; readonly ipv4: readonly string[]; readonly ipv6: readonly string[] }
  | { readonly do: 'detach'; readonly eniId: string }
  | { readonly do: 'delete-eni'; readonly eniId: string }

export interface Demand {
  /** Pods scheduled to the node without an address. */
  readonly waiting: number
  readonly min: number
  readonly max: number
  /** Addresses of a one-time warm-up that are still to be obtained. */
  readonly warmUpRemaining: number
  /** The pool period has passed: surplus may be given back. */
  readonly adjust: boolean
  /** Idle addresses to give back beyond the surplus (idle reclaim), never below min. */
  readonly reclaimExtra: number
}

/** A vSwitch as the planner sees it; a blocked one has no free address. */
export type PlanVSwitch = Pick<VSwitch, 'id' | 'availableIpCount' | 'cidr6' | 'ipv6Exhausted'>

export interface PlanInput {
  readonly pool: Pool
  readonly demand: Demand
  /** Usable vSwitches of the node's zone in order of preference. */
  readonly vSwitches: readonly PlanVSwitch[]
  /** Others that the node has ENIs in: no further ENI is created there, but those that are there still grow. */
  readonly formerVSwitches: readonly PlanVSwitch[]
}

export interface Plan {
  readonly actions: readonly CloudAction[]
  /** Pods' worth of addresses that ENIs on their way, or created now, have room for: assigned once they are attached. */
  readonly later: number
  /** Pods' worth of addresses that nothing can provide now, and why. */
  readonly unmet: number
  readonly reasons: readonly string[]
}
