// SPDX-License-Identifier: Apache-2.0
import type { Cidr } from '#net/cidr.ts'
import type { Ipv4, Ipv6 } from '#net/ip.ts'
import type { Mac } from '#net/mac.ts'

/** ECS ENI states. */
export type EniStatus = 'Creating' | 'Available' | 'Attaching' | 'InUse' | 'Detaching' | 'Deleting'
export type EniType = 'Primary' | 'Secondary' | 'Trunk' | 'Member'
export type TrafficMode = 'Standard' | 'HighPerformance'
export interface Tag {
  readonly key: string
  readonly value: string
}

export interface Eni {
  readonly id: string
  readonly status: EniStatus
  readonly type: EniType
  readonly trafficMode: TrafficMode
  readonly mac: Mac
  readonly vSwitchId: string
  readonly zoneId: string
  readonly securityGroupIds: readonly string[]
  readonly primaryIp: Ipv4
  /** All private IPv4 addresses, the primary one first. */
  readonly ipv4: readonly Ipv4[]
  readonly ipv6: readonly Ipv6[]
  readonly ipv4Prefixes: readonly Cidr[]
  readonly ipv6Prefixes: readonly Cidr[]
  readonly tags: readonly Tag[]
  readonly instanceId?: string
  readonly trunkEniId?: string
  /** VLAN id of a member ENI. */
  readonly deviceIndex?: number
  /** ISO 8601 with minutes, as ECS gives it. */
  readonly creationTime?: string
}

export interface VSwitch {
  readonly id: string
  readonly zoneId: string
  readonly cidr4: Cidr
  readonly cidr6?: Cidr
  /** The cloud had no IPv6 address left there a moment ago. Set by the vSwitch cache alone: no operation of the cloud counts them. */
  readonly ipv6Exhausted?: true
  readonly availableIpCount: number
}

export interface InstanceType {
  readonly id: string
  readonly eniQuantity: number
  readonly eniTotalQuantity: number
  readonly ipv4PerEni: number
  readonly ipv6PerEni: number
  readonly trunkSupported: boolean
  readonly eriQuantity: number
  readonly bandwidthRx: number
  readonly bandwidthTx: number
  readonly networkCards: readonly number[]
}

export interface CreateEni {
  /** Idempotency: the same token with the same parameters returns the first ENI. */
  readonly clientToken: string
  readonly vSwitchId: string
  readonly type: 'Secondary' | 'Trunk'
  readonly trafficMode?: TrafficMode
  readonly securityGroupIds: readonly string[]
  /** Total number of IPv4 addresses, the primary included (1..quota). */
  readonly ipv4Count: number
  readonly ipv6Count: number
  readonly tags: readonly Tag[]
  readonly resourceGroupId?: string
  readonly description: string
}

export interface DescribeEnis {
  readonly ids?: readonly string[]
  readonly instanceId?: string
  readonly vpcId?: string
  readonly type?: EniType
  readonly status?: EniStatus
  readonly tags?: readonly Tag[]
}

/** What went wrong, and so what may be done: one table in cloud/errors classifies each code. */
export type CloudErrorClass = 'retry' | 'throttled' | 'quota' | 'no-addresses' | 'gone' | 'conflict' | 'denied' | 'bug'

/** The cloud as meaning: one method per operation that Terway needs of it. Every method may throw CloudError. */
export interface Cloud {
  createEni(r: CreateEni): Promise<Eni>
  attachEni(r: { eniId: string; instanceId: string; trunkEniId?: string; networkCardIndex?: number }): Promise<void>
  detachEni(r: { eniId: string; instanceId: string; trunkEniId?: string }): Promise<void>
  /** Succeeds also when the ENI does not exist. */
  deleteEni(eniId: string): Promise<void>
  /** All pages. */
  describeEnis(r: DescribeEnis): Promise<readonly Eni[]>
  assignIpv4(r: { clientToken: string; eniId: string; count: number }): Promise<readonly Ipv4[]>
  assignIpv6(r: { clientToken: string; eniId: string; count: number }): Promise<readonly Ipv6[]>
  /** Succeeds for addresses that are not assigned any more. */
  unassignIpv4(r: { eniId: string; addresses: readonly Ipv4[] }): Promise<void>
  unassignIpv6(r: { eniId: string; addresses: readonly Ipv6[] }): Promise<void>
  describeVSwitch(id: string): Promise<VSwitch | undefined>
  describeInstanceTypes(ids: readonly string[]): Promise<readonly InstanceType[]>
  /** Whether the instance exists, as the cloud says (never guessed from an empty list on error). */
  instanceExists(instanceId: string): Promise<boolean>
}
