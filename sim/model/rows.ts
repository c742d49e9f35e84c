// SPDX-License-Identifier: Apache-2.0
import type { BalancerView, SecurityGroupView } from './view.ts'

/** The rows of the cloud's state: immutable values, replaced whole. Times are milliseconds since the epoch. */
export interface Rows {
  vpc: Vpc
  vSwitch: VSwitch
  securityGroup: SecurityGroup
  instance: Instance
  eni: Eni
  balancer: Balancer
  token: Token
  account: Account
  role: Role
  counter: Counter
}
export type Kind = keyof Rows

export interface Vpc {
  readonly id: string
  readonly name: string
  readonly cidr4: string
  readonly cidr6?: string
  readonly mtu: number
  /** Elastic IPs bound to private addresses. */
  readonly eips: readonly { readonly public4: string; readonly private4: string }[]
}

export interface VSwitch {
  readonly id: string
  readonly name: string
  readonly vpcId: string
  readonly zoneId: string
  readonly cidr4: string
  readonly cidr6?: string
  /** Set by the fault `exhaust`: no address is handed out, and the count reads 0. */
  readonly exhausted?: boolean
}

export interface SecurityGroup extends SecurityGroupView {
  readonly name: string
  readonly vpcId: string
  /** Private IPv4 addresses that the group may hold. */
  readonly capacity: number
  readonly tags: Tags
}

export type Tags = { readonly [key: string]: string }

/** ECS instance states that the model knows: a stopped instance keeps its ENIs. */
export type InstanceStatus = 'Running' | 'Stopped'

export interface Instance {
  readonly id: string
  /** Creation order, which Describe calls list by. */
  readonly seq: number
  readonly name: string
  readonly hostName: string
  readonly type: string
  readonly vpcId: string
  readonly vSwitchId: string
  readonly zoneId: string
  readonly status: InstanceStatus
  readonly primaryEniId: string
  readonly securityGroupIds: readonly string[]
  /** RAM role whose credentials the metadata service hands out. */
  readonly role?: string
  readonly createdAt: number
  readonly tags: Tags
}

export type EniType = 'Primary' | 'Secondary' | 'Trunk' | 'Member'
export type EniStatus = 'Creating' | 'Available' | 'Attaching' | 'InUse' | 'Detaching' | 'Deleting'

export interface Eni {
  readonly id: string
  readonly seq: number
  readonly name: string
  readonly description: string
  readonly mac: string
  readonly type: EniType
  readonly status: EniStatus
  /** When the present transition ends; 'never' while a fault holds it. Absent in a resting state. */
  readonly due?: number | 'never'
  /** A fault lets the present transition fail. */
  readonly failing?: boolean
  readonly vpcId: string
  readonly vSwitchId: string
  readonly zoneId: string
  readonly securityGroupIds: readonly string[]
  /** The primary address first. */
  readonly ipv4: readonly string[]
  readonly ipv6: readonly string[]
  /** Delegated prefixes (CIDR), of both families. */
  readonly prefixes: readonly string[]
  readonly sourceDestCheck: boolean
  readonly deleteOnRelease: boolean
  readonly trafficMode: 'Standard' | 'HighPerformance'
  readonly resourceGroupId: string
  readonly tags: Tags
  readonly createdAt: number
  /** From the attach call until the detach is done. */
  readonly attachment?: Attachment
}

export interface Attachment {
  readonly instanceId: string
  /** For members: the trunk that carries them, and their 802.1Q id, which ECS calls DeviceIndex. */
  readonly trunkEniId?: string
  readonly deviceIndex?: number
  readonly networkCardIndex?: number
}

export type BalancerListener = BalancerView['listeners'][number]

/** A network load balancer. Where it listens is its owner's affair, as is whether its targets are well. */
export interface Balancer {
  readonly id: string
  readonly seq: number
  readonly name: string
  readonly scheme: 'internet' | 'intranet'
  readonly vSwitchId: string
  readonly private4: readonly string[]
  readonly public4: readonly string[]
  /** Of the vSwitch, for either scheme. */
  readonly ipv6: readonly string[]
  readonly listeners: readonly BalancerListener[]
}

/** A client token that succeeded once: its request by hash, and the reply that a repetition gets. */
export interface Token {
  readonly id: string
  readonly requestHash: string
  readonly reply: object
  readonly at: number
}

export interface Account {
  /** AccessKeyId. */
  readonly id: string
  readonly secret: string
  /** Action names; `*` allows all. */
  readonly allow: readonly string[]
}

export interface Role {
  readonly id: string
  readonly allow: readonly string[]
}

/** Numbers handed out so far, from which ids and MAC addresses are made. */
export interface Counter {
  readonly id: 'counter'
  readonly next: number
}
