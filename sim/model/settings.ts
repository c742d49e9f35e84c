// SPDX-License-Identifier: Apache-2.0
import type { InstanceType } from './instance-types.ts'

/** Everything of the cloud that is a number and not a law. Times in milliseconds. Sources: DIFFERENCES.md. */
export interface Settings {
  readonly regionId: string
  /** Names the seed: ids, MAC addresses and secrets of roles are derived from it. */
  readonly seed: string
  readonly zones: readonly string[]
  readonly timing: Timing
  readonly quota: Quota
  /** Types beside the built-in ones. */
  readonly instanceTypes: readonly InstanceType[]
  /** Calls per minute and user, by action; also the size of the burst. */
  readonly throttle: Throttle
}

export interface Timing {
  readonly creating: number
  readonly attaching: number
  readonly detaching: number
  readonly deleting: number
  /** How far Describe calls lag behind. */
  readonly describeLag: number
  /** How far the metadata service lags behind. */
  readonly metadataLag: number
  /** From the arrival of a call to its reply. */
  readonly call: number
}

export interface Quota {
  /** ENIs of the account in the region, primary ones not counted. */
  readonly enisPerAccount: number
  /** IPv4 addresses of an ENI that is attached to nothing. */
  readonly addressesPerFreeEni: number
  readonly ipv6PerFreeEni: number
  readonly addressesPerCall: number
  readonly securityGroupsPerEni: number
  readonly tagsPerResource: number
}

export interface Throttle {
  readonly enabled: boolean
  readonly perMinute: { readonly [action: string]: number }
  readonly defaultPerMinute: number
  /** The limit of all users together, as a multiple of one user's limit. */
  readonly apiFactor: number
}

export const defaultTiming: Timing = {
  creating: 300,
  attaching: 2000,
  detaching: 2000,
  deleting: 500,
  describeLag: 300,
  metadataLag: 1000,
  call: 0,
}

export const defaultQuota: Quota = {
  enisPerAccount: 10_000,
  addressesPerFreeEni: 50,
  ipv6PerFreeEni: 10,
  addressesPerCall: 10,
  securityGroupsPerEni: 10,
  tagsPerResource: 20,
}

/** Calls per minute that Terway budgets for itself; the real limits are per account and not published for every action. */
export const defaultThrottle: Throttle = {
  enabled: true,
  defaultPerMinute: 500,
  apiFactor: 4,
  perMinute: {
    DescribeNetworkInterfaces: 800,
    DescribeNetworkInterfaceAttribute: 2000,
    DetachNetworkInterface: 400,
    AssignPrivateIpAddresses: 400,
    UnassignPrivateIpAddresses: 400,
    AssignIpv6Addresses: 400,
    UnassignIpv6Addresses: 400,
    DescribeInstanceTypes: 400,
    DescribeVSwitches: 300,
  },
}
