// SPDX-License-Identifier: Apache-2.0
import type { IfName, NetnsPath } from '#datapath/attachment.ts'
import type { Lease } from '#ipam/ledger.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIpv4 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'

/** A lease for tests: pod default/pod-<container>, address `ip` of eni-1. */
export function leaseOf(containerId: string, ip: string, overrides: Partial<Lease> = {}): Lease {
  return {
    containerId,
    state: 'held',
    podUid: `uid-${containerId}`,
    podNamespace: 'default',
    podName: `pod-${containerId}`,
    owner: 'cni',
    since: 1_000,
    attachment: {
      kind: 'shared-eni',
      containerId,
      netns: `/run/netns/${containerId}` as NetnsPath,
      ifName: 'eth0' as IfName,
      hostIfName: `cali${containerId}` as IfName,
      mtu: 1500,
      v4: { address: parseIpv4(ip), subnet: parseCidr('10.0.0.0/24'), gateway: parseIpv4('10.0.0.253') },
      eni: { eniId: 'eni-1', mac: parseMac('02:00:00:00:00:01'), gateway4: parseIpv4('10.0.0.253') },
      defaultRoute: true,
      extraRoutes: [],
    },
    ...overrides,
  }
}
