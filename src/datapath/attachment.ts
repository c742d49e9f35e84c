// SPDX-License-Identifier: Apache-2.0
import type { IfName, NetnsPath } from '#kernel/names.ts'
import type { Cidr } from '#net/cidr.ts'
import type { Ipv4, Ipv6 } from '#net/ip.ts'
import type { Mac } from '#net/mac.ts'

export type { IfName, NetnsPath }

/** One family of a pod's attachment. `gateway` is the vSwitch's (third-last address), `subnet` the vSwitch's CIDR. */
export interface AddressV4 {
  readonly address: Ipv4
  readonly subnet: Cidr
  readonly gateway: Ipv4
}
export interface AddressV6 {
  readonly address: Ipv6
  readonly subnet: Cidr
  readonly gateway: Ipv6
}

/** The ENI that carries the pod's traffic, found on the node by its MAC. */
export interface EniDevice {
  readonly eniId: string
  readonly mac: Mac
  readonly gateway4?: Ipv4
  readonly gateway6?: Ipv6
}

/** What every kind of attachment says of one interface of one pod sandbox. */
interface PodInterface {
  readonly containerId: string
  readonly netns: NetnsPath
  /** CNI_IFNAME, normally eth0. */
  readonly ifName: IfName
  /** Host end of the veth: `cali` + 11 hex digits of SHA-1 over "<namespace>.<pod>[ifName≠eth0]". */
  readonly hostIfName: IfName
  readonly mtu: number
  readonly v4?: AddressV4
  readonly v6?: AddressV6
  readonly eni: EniDevice
  readonly defaultRoute: boolean
  /** Destinations routed through the pod's subnet gateway (5.4). */
  readonly extraRoutes: readonly Cidr[]
  /** Bytes per second seen from the pod; absent = not shaped (5.8). */
  readonly egressBytesPerSecond?: number
}

/** A pod that shares its ENI with others: a veth, and the host routes by policy. */
export interface SharedEniAttachment extends PodInterface {
  readonly kind: 'shared-eni'
  readonly ingressBytesPerSecond?: number
}

/** A pod that has an ENI for itself: the ENI's device is moved into the pod's namespace. */
export interface ExclusiveEniAttachment extends PodInterface {
  readonly kind: 'exclusive-eni'
  /** Destinations that the pod reaches through its node's host stack: networks of Services and host_stack_cidrs. The node's own addresses come from the kernel. */
  readonly hostRoutes: readonly Cidr[]
  /** False (`disable_host_peer`): no pair between pod and host; Services and probes of the node then go by the VPC, or not at all. */
  readonly hostPeer: boolean
}

/**
 * Everything the datapath needs to give one pod sandbox one interface, and nothing else. A value: it is stored in the
 * ledger and planned again for CHECK, repair and DEL. Further kinds (`trunk-member`) extend the union.
 */
export type Attachment = SharedEniAttachment | ExclusiveEniAttachment
