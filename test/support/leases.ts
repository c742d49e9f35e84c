// SPDX-License-Identifier: Apache-2.0
import type { IfName, NetnsPath } from '#datapath/attachment.ts'
import type { Lease } from '#ipam/ledger.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIpv4, parseIpv6 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'

/** A lease for tests: pod default/pod-<container>, address `ip` of eni-1, or one of each family. */
export function leaseOf(containerId: string, ip: string | readonly [string, string], overrides: Partial<Lease> = {}): Lease {
  const [ip4, ip6] = typeof ip === 'string' ? [ip] : ip
  const [gateway4, gateway6] = [parseIpv4('10.0.0.253'), parseIpv6('fd00:1::ffff:ffff:ffff:fffd')]
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
      v4: { address: parseIpv4(ip4), subnet: parseCidr('10.0.0.0/24'), gateway: gateway4 },
      ...(ip6 !== undefined && { v6: { address: parseIpv6(ip6), subnet: parseCidr('fd00:1::/64'), gateway: gateway6 } }),
      eni: { eniId: 'eni-1', mac: parseMac('02:00:00:00:00:01'), gateway4, ...(ip6 !== undefined && { gateway6 }) },
      defaultRoute: true,
      extraRoutes: [],
    },
    ...overrides,
  }
}
