// SPDX-License-Identifier: Apache-2.0
import type { PodInfo } from '#daemon/pod.ts'
import type { AddressV4, AddressV6, Attachment, IfName, NetnsPath } from '#datapath/attachment.ts'
import { hostIfName } from '#datapath/host-if-name.ts'
import type { PoolAddress, PoolEni } from '#ipam/node-pool.ts'
import { AppError } from '#lib/errors.ts'
import { type Cidr, familyOfCidr, gatewayOf } from '#net/cidr.ts'
import { isIpv4, isIpv6 } from '#net/ip.ts'

/** As Terway: of pod and ENI, unless the plugin's configuration says otherwise. */
export const defaultMtu = 1500

export interface AttachInput {
  readonly pod: PodInfo
  readonly containerId: string
  readonly netns: NetnsPath
  readonly ifName: IfName
  readonly eni: PoolEni
  readonly addresses: readonly PoolAddress[]
  readonly mtu?: number
  /** From the runtime's configuration; wins over the pod's annotations. */
  readonly ingressBytesPerSecond?: number
  readonly egressBytesPerSecond?: number
  readonly extraRoutes: readonly Cidr[]
  /** Of a node whose pods have ENIs of their own; absent = they share them. */
  readonly hostSide?: HostSide | undefined
}

/** What a pod with an ENI of its own has to do with its node. */
export interface HostSide {
  readonly hostRoutes: readonly Cidr[]
  readonly hostPeer: boolean
}

/** The pod's interface as a value. The ENI must be usable, so that MAC and subnets are known. */
export function makeAttachment(input: AttachInput): Attachment {
  const { pod, containerId, netns, ifName, eni } = input
  if (eni.mac === undefined) throw new AppError('internal', `ENI ${eni.eniId} has no MAC address`)
  const v4 = familyOf4(input)
  const v6 = familyOf6(input)
  const ingress = input.ingressBytesPerSecond ?? pod.ingressBytesPerSecond
  const egress = input.egressBytesPerSecond ?? pod.egressBytesPerSecond
  const either = {
    containerId,
    netns,
    ifName,
    hostIfName: hostIfName(pod.namespace, pod.name, ifName),
    mtu: input.mtu ?? defaultMtu,
    ...(v4 && { v4 }),
    ...(v6 && { v6 }),
    eni: {
      eniId: eni.eniId,
      mac: eni.mac,
      ...(v4 && { gateway4: v4.gateway }),
      ...(v6 && { gateway6: v6.gateway }),
    },
    defaultRoute: true,
    extraRoutes: input.extraRoutes,
    ...(egress === undefined ? {} : { egressBytesPerSecond: egress }),
  }
  if (input.hostSide === undefined)
    return { kind: 'shared-eni', ...either, ...(ingress === undefined ? {} : { ingressBytesPerSecond: ingress }) }
  const { hostRoutes, hostPeer } = input.hostSide
  // What arrives comes by no device of the node: there is nothing that could limit it.
  return { kind: 'exclusive-eni', ...either, hostRoutes: hostRoutes.filter(c => (familyOfCidr(c) === 4 ? v4 : v6)), hostPeer }
}

function familyOf4({ eni, addresses }: AttachInput): AddressV4 | undefined {
  const address = addresses.map(a => a.ip).find(isIpv4)
  if (address === undefined || eni.subnet4 === undefined) return undefined
  const gateway = gatewayOf(eni.subnet4)
  return isIpv4(gateway) ? { address, subnet: eni.subnet4, gateway } : undefined
}

function familyOf6({ eni, addresses }: AttachInput): AddressV6 | undefined {
  const address = addresses.map(a => a.ip).find(isIpv6)
  if (address === undefined || eni.subnet6 === undefined) return undefined
  const gateway = gatewayOf(eni.subnet6)
  return isIpv6(gateway) ? { address, subnet: eni.subnet6, gateway } : undefined
}
