// SPDX-License-Identifier: Apache-2.0
import { type HostSide, makeAttachment } from '#daemon/attach.ts'
import { judgePod, type KnownMode, type PodInfo } from '#daemon/pod.ts'
import type { IfName, NetnsPath } from '#datapath/attachment.ts'
import { hostIfName } from '#datapath/host-if-name.ts'
import type { HostLink, Inventory } from '#datapath/port.ts'
import { addressesOf } from '#ipam/book.ts'
import type { Lease } from '#ipam/ledger.ts'
import type { PoolAddress, PoolView } from '#ipam/node-pool.ts'
import type { NodeRuntimeStatus } from '#kube/crd/node-runtime.ts'
import type { Pod } from '#kube/reflect/pod.ts'
import type { Cidr } from '#net/cidr.ts'
import { type Ip, tryParseIp } from '#net/ip.ts'
import type { Mac } from '#net/mac.ts'

export interface AdoptInput {
  readonly inventory: Inventory
  readonly leases: readonly Lease[]
  readonly pool: PoolView
  /** Pods of this node that are not finished. */
  readonly livePods: readonly Pod[]
  readonly runtime: NodeRuntimeStatus | undefined
  readonly nodeName: string
  /** From the configuration: what a sandbox of ours has besides its addresses. */
  readonly extraRoutes: readonly Cidr[]
  readonly mode: KnownMode
  /** Where each pod has an ENI of its own. */
  readonly hostSide?: HostSide | undefined
  /** Wall-clock milliseconds. */
  readonly now: number
}

export interface Adoption {
  /** Sandboxes that a predecessor made for pods that live: their addresses are taken. */
  readonly leases: readonly Lease[]
  /** Objects of nobody. */
  readonly leftovers: Inventory
}

/**
 * Sorts what the kernel has and the ledger does not know: after a Go daemon, or when the ledger had to be rebuilt. The host
 * device's name says whose it is; of a pod that has none, only an ENI, the last report does. A device that this plugin made says its container, and is ours again (`cni`) when its
 * namespace was found. Other adopted leases are `grpc`, not ours to repair, until the runtime names the container again. What
 * belongs to a live pod that we do not serve, or to a sandbox without an address of this node, stays as it is.
 */
export function adopt(input: AdoptInput): Adoption {
  const { inventory, leases } = input
  const known = new Set(leases.map(l => l.attachment.hostIfName))
  const owners = new Map(input.livePods.flatMap(pod => ownerOf(pod, input)))
  const adopted = [...withHostEnd(inventory), ...withoutHostEnd(input)].flatMap(found => {
    const pod = owners.get(found.link.name)
    return known.has(found.link.name) || pod === undefined ? [] : leaseFor(pod, found, input)
  })
  const kept = new Set([...known, ...owners.keys()])
  const ips = new Set<Ip>([...leases, ...adopted].flatMap(addressesOf))
  for (const route of inventory.routes) if (kept.has(route.dev)) ips.add(route.ip)
  const held = new Set([...leases, ...adopted].map(sandboxOf))
  // Other machines of a test bed may have their pods in the same directory.
  const own = inventory.enis?.filter(e => input.pool.enis.some(({ mac }) => mac === e.mac)) ?? []
  const enis = own.filter(e => !held.has(sandboxOf({ containerId: e.owner, attachment: { eni: e } })))
  return {
    leases: adopted,
    leftovers: {
      hostLinks: inventory.hostLinks.filter(l => !kept.has(l.name)),
      rules: inventory.rules.filter(r => !ips.has(r.ip)),
      routes: inventory.routes.filter(r => !kept.has(r.dev)),
      ...(enis.length > 0 && { enis }),
    },
  }
}

/** By which an ENI in a pod's namespace is told from one that has come back and gone to another pod since. */
function sandboxOf({
  containerId,
  attachment,
}: {
  readonly containerId: string
  readonly attachment: { readonly eni: { readonly mac: Mac } }
}): string {
  return `${containerId} ${attachment.eni.mac}`
}

/** A sandbox that the kernel has. */
interface Found {
  readonly link: HostLink
  readonly ips: readonly Ip[]
}

function withHostEnd({ hostLinks, routes }: Inventory): readonly Found[] {
  return hostLinks.map(link => ({ link, ips: routes.filter(r => r.dev === link.name).map(r => r.ip) }))
}

/** Pods whose ENI is all that the kernel has of them (`disable_host_peer`), as if there were the host end that they would have. */
function withoutHostEnd({ inventory, livePods, runtime }: AdoptInput): readonly Found[] {
  const paired = new Set(inventory.hostLinks.map(l => l.owner))
  return (inventory.enis ?? []).flatMap(({ owner, netns, mtu }) => {
    const pod = livePods.find(p => runtime?.pods?.[p.metadata.uid ?? '']?.containerID === owner)
    if (paired.has(owner) || pod === undefined) return []
    const { namespace = '', name, uid = '' } = pod.metadata
    const { ipv4 = '', ipv6 = '' } = runtime?.pods?.[uid] ?? {}
    const link = { name: hostIfName(namespace, name, 'eth0'), index: 0, up: true, mtu, owner, netns }
    return [{ link, ips: [ipv4, ipv6].flatMap(ip => tryParseIp(ip) ?? []) }]
  })
}

/** Whether the kernel has a device that this plugin made and the ledger does not know. */
export function hasLostSandboxes(inventory: Inventory, leases: readonly Lease[]): boolean {
  const known = new Set(leases.map(l => l.attachment.hostIfName))
  return inventory.hostLinks.some(l => l.owner !== undefined && !known.has(l.name))
}

/** The device that a live pod may have; undefined for whom when the pod is not ours to serve. */
function ownerOf(pod: Pod, { nodeName, mode }: AdoptInput): readonly (readonly [IfName, PodInfo | undefined])[] {
  const { namespace = '', name } = pod.metadata
  if (pod.spec.hostNetwork === true) return []
  const verdict = judgePod(pod, nodeName, mode)
  return [[hostIfName(namespace, name, 'eth0'), verdict.kind === 'serve' ? verdict.pod : undefined]]
}

/** None when the address is not (or no longer) one of the node's: then there is nothing to protect. */
function leaseFor(pod: PodInfo, { link, ips }: Found, input: AdoptInput): readonly Lease[] {
  const eni = input.pool.enis.find(e => e.mac !== undefined && e.addresses.some(a => ips.includes(a.ip)))
  if (eni === undefined) return []
  const addresses: readonly PoolAddress[] = eni.addresses.filter(a => ips.includes(a.ip) && a.state !== 'leased')
  if (addresses.length === 0) return []
  const recorded = input.runtime?.pods?.[pod.uid]
  const reported = ips.some(ip => ip === recorded?.ipv4 || ip === recorded?.ipv6) ? recorded?.containerID : undefined
  // The device itself knows best: the reaper takes only devices of the lease's own container.
  const containerId = link.owner ?? reported ?? `adopted-${pod.uid}`
  const isOurs = link.owner !== undefined && link.netns !== undefined
  return [
    {
      containerId,
      state: 'held',
      podUid: pod.uid,
      podNamespace: pod.namespace,
      podName: pod.name,
      owner: isOurs ? 'cni' : 'grpc',
      since: input.now,
      attachment: makeAttachment({
        pod,
        containerId,
        netns: link.netns ?? ('' as NetnsPath),
        ifName: 'eth0' as IfName,
        mtu: link.mtu,
        eni,
        addresses,
        extraRoutes: isOurs ? input.extraRoutes : [],
        hostSide: input.hostSide,
      }),
    },
  ]
}
