// SPDX-License-Identifier: Apache-2.0

/**
 * What the VPC fabric must make real: a pure projection of the model's state, recomputed after each change. The fabric
 * never asks the model anything else, and never tells it anything.
 */
export interface FabricView {
  readonly vSwitches: readonly { readonly id: string; readonly zoneId: string; readonly cidr4: string; readonly cidr6?: string }[]
  readonly instances: readonly { readonly id: string; readonly running: boolean }[]
  readonly enis: readonly EniView[]
  readonly securityGroups: readonly SecurityGroupView[]
  /** Elastic IPs bound to private addresses; everything else leaves through the VPC's shared SNAT address. */
  readonly eips: readonly { readonly public4: string; readonly private4: string }[]
  readonly balancers: readonly BalancerView[]
}

/** Connections to an address and port of it go to one of the listener's targets of that family, with the client's address. */
export interface BalancerView {
  readonly id: string
  readonly addresses: readonly string[]
  readonly listeners: readonly {
    readonly protocol: 'tcp' | 'udp'
    readonly port: number
    readonly targets: readonly { readonly ip: string; readonly port: number }[]
    /** Prefixes of those that may connect (access control); who is named in one family alone limits nobody in the other. Absent: everybody. */
    readonly sources?: readonly string[]
  }[]
}

export interface EniView {
  readonly id: string
  readonly mac: string
  readonly vSwitchId: string
  readonly type: 'Primary' | 'Secondary' | 'Trunk' | 'Member'
  /** The instance whose namespace holds the device; absent while the ENI is not InUse. */
  readonly instanceId?: string
  /** 802.1Q id under the trunk, for members. */
  readonly trunkEniId?: string
  readonly vlan?: number
  readonly ipv4: readonly string[]
  readonly ipv6: readonly string[]
  /** CIDRs of delegated prefixes. */
  readonly prefixes: readonly string[]
  readonly securityGroupIds: readonly string[]
  readonly sourceDestCheck: boolean
  readonly mtu: number
}

export interface SecurityGroupView {
  readonly id: string
  /** Members reach each other unless false (InnerAccessPolicy). */
  readonly intraGroup: boolean
  readonly rules: readonly {
    readonly direction: 'ingress' | 'egress'
    readonly policy: 'accept' | 'drop'
    /** 1..100, lower wins; equal priority: drop wins. */
    readonly priority: number
    readonly protocol: 'all' | 'tcp' | 'udp' | 'icmp' | 'icmpv6'
    /** Inclusive; absent = all ports. */
    readonly ports?: readonly [number, number]
    readonly peer: { readonly cidr: string } | { readonly groupId: string }
  }[]
}
