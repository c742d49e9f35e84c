// SPDX-License-Identifier: Apache-2.0
import type { Attachment } from '#datapath/attachment.ts'
import type { SetupResult } from '#datapath/port.ts'
import { prefixLength } from '#net/cidr.ts'
import type { CniResult } from '#rpc/cni-message.ts'

/**
 * The CNI result of an attachment. Addresses carry the vSwitch's mask and gateway and there are no routes, as with Terway
 * (inside the pod the address is /32 and the gateway a link-local one). Unlike Terway's, the sandbox of the pod's interface
 * is the path of its namespace, as the specification wants, and the host end is listed.
 */
export function resultOf(a: Attachment, setup: Pick<SetupResult, 'hostMac' | 'podMac'>): CniResult {
  const families = [a.v4, a.v6].filter(f => f !== undefined)
  const hasHostEnd = a.kind === 'shared-eni' || a.hostPeer
  const hostEnds = hasHostEnd ? [{ name: a.hostIfName, mac: setup.hostMac, sandbox: '', mtu: a.mtu }] : []
  return {
    interfaces: [...hostEnds, { name: a.ifName, mac: setup.podMac, sandbox: a.netns, mtu: a.mtu }],
    ips: families.map(f => ({ address: `${f.address}/${prefixLength(f.subnet)}`, gateway: f.gateway, interface: hostEnds.length })),
  }
}
