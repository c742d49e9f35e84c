// SPDX-License-Identifier: Apache-2.0

/** One row of DescribeInstanceTypes: what limits the network of an instance. Bandwidth in kbit/s. */
export interface InstanceType {
  readonly id: string
  readonly family: string
  readonly cpu: number
  readonly memoryGiB: number
  /** ENIs of the instance, primary and trunk included, members not. */
  readonly eniQuantity: number
  /** ENIs of the instance with members. */
  readonly eniTotalQuantity: number
  readonly eniTrunkSupported: boolean
  readonly eriQuantity: number
  readonly ipv4PerEni: number
  readonly ipv6PerEni: number
  readonly bandwidthKbps: number
  readonly networkCards: number
  /** Of its devices, where it is not the VPC's: some types may have jumbo frames. */
  readonly mtu?: number
}

function g7(size: string, cpu: number, enis: number, total: number, addresses: number, gbps: number): InstanceType {
  return {
    id: `ecs.g7.${size}`,
    family: 'ecs.g7',
    cpu,
    memoryGiB: cpu * 4,
    eniQuantity: enis,
    eniTotalQuantity: total,
    eniTrunkSupported: total > enis,
    eriQuantity: 0,
    ipv4PerEni: addresses,
    ipv6PerEni: addresses,
    bandwidthKbps: Math.round(gbps * 1_024_000),
    networkCards: 0,
  }
}

/**
 * The general purpose families g7 and g6 of the instance family overview (ENIs, private IPv4 and IPv6 addresses per ENI, base
 * bandwidth); EniTotalQuantity as DescribeInstanceTypes answers it. `ecs.lab.*` do not exist: small ones for cheap tests
 * of exhaustion. A seed may add types of its own.
 */
export const instanceTypes: readonly InstanceType[] = [
  g7('large', 2, 3, 3, 6, 2),
  g7('xlarge', 4, 4, 14, 15, 3),
  g7('2xlarge', 8, 4, 22, 15, 5),
  g7('4xlarge', 16, 8, 44, 30, 10),
  g7('8xlarge', 32, 8, 72, 30, 16),
  { ...g7('large', 2, 2, 2, 6, 1), id: 'ecs.g6.large', family: 'ecs.g6', ipv6PerEni: 1 },
  { ...g7('2xlarge', 8, 4, 4, 10, 2.5), id: 'ecs.g6.2xlarge', family: 'ecs.g6', ipv6PerEni: 1 },
  { ...g7('xlarge', 4, 4, 14, 10, 2), id: 'ecs.lab.medium', family: 'ecs.lab' },
  { ...g7('xlarge', 4, 4, 14, 10, 2), id: 'ecs.lab.jumbo', family: 'ecs.lab', mtu: 8500 },
  { ...g7('large', 2, 2, 2, 3, 1), id: 'ecs.lab.tiny', family: 'ecs.lab', ipv6PerEni: 0 },
  { ...g7('large', 2, 3, 3, 6, 1), id: 'ecs.lab.uneven', family: 'ecs.lab', ipv6PerEni: 2 },
]
