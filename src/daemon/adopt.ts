// SPDX-License-Identifier: Apache-2.0
import { makeAttachment } from '#daemon/attach.ts'
import { judgePod, type PodInfo } from '#daemon/pod.ts'
import type { IfName, NetnsPath } from '#datapath/attachment.ts'
import { hostIfName } from '#datapath/host-if-name.ts'
import type { Inventory } from '#datapath/port.ts'
import { addressesOf } from '#ipam/book.ts'
import type { Lease } from '#ipam/ledger.ts'
import type { PoolAddress, PoolView } from '#ipam/node-pool.ts'
import type { NodeRuntimeStatus } from '#kube/crd/node-runtime.ts'
import type { Pod } from '#kube/reflect/pod.ts'
import type { Ip } from '#net/ip.ts'

export interface AdoptInput {
  readonly inventory: Inventory
  readonly leases: readonly Lease[]
  readonly pool: PoolView
  /** Pods of this node that are not finished. */
  readonly livePods: readonly Pod[]
  readonly runtime: NodeRuntimeStatus | undefined
  readonly nodeName: string
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
 * device's name says whose it is. Adopted leases are `grpc` (not ours to repair, the namespace is not known) until the
 * runtime names the container again; without NodeRuntime's record the container id is made up.
 */
export function adopt(input: AdoptInput): Adoption {
  const { inventory, leases } = input
  const known = new Set(leases.map(l => l.attachment.hostIfName))
  const owners = new Map(input.livePods.flatMap(pod => ownerOf(pod, input.nodeName)))
  const adopted = inventory.hostLinks.flatMap(({ name }) => {
    const pod = owners.get(name)
    return known.has(name) || pod === undefined ? [] : leaseFor(pod, name, input)
  })
  const kept = new Set([...known, ...owners.keys()])
  const ips = new Set<Ip>([...leases, ...adopted].flatMap(addressesOf))
  for (const route of inventory.routes) if (kept.has(route.dev)) ips.add(route.ip)
  return {
    leases: adopted,
    leftovers: {
      hostLinks: inventory.hostLinks.filter(l => !kept.has(l.name)),
      rules: inventory.rules.filter(r => !ips.has(r.ip)),
      routes: inventory.routes.filter(r => !kept.has(r.dev)),
    },
  }
}

function ownerOf(pod: Pod, nodeName: string): readonly (readonly [IfName, PodInfo])[] {
  const verdict = judgePod(pod, nodeName)
  return verdict.kind === 'serve' ? [[hostIfName(verdict.pod.namespace, verdict.pod.name, 'eth0'), verdict.pod]] : []
}

/** None when the address is not (or no longer) one of the node's: then there is nothing to protect. */
function leaseFor(pod: PodInfo, dev: IfName, input: AdoptInput): readonly Lease[] {
  const ips = input.inventory.routes.filter(r => r.dev === dev).map(r => r.ip)
  const eni = input.pool.enis.find(e => e.mac !== undefined && e.addresses.some(a => ips.includes(a.ip)))
  if (eni === undefined) return []
  const addresses: readonly PoolAddress[] = eni.addresses.filter(a => ips.includes(a.ip) && a.state !== 'leased')
  if (addresses.length === 0) return []
  const recorded = input.runtime?.pods?.[pod.uid]
  const containerId = ips.some(ip => ip === recorded?.ipv4 || ip === recorded?.ipv6) ? recorded?.containerID : undefined
  const id = containerId ?? `adopted-${pod.uid}`
  return [
    {
      containerId: id,
      state: 'held',
      podUid: pod.uid,
      podNamespace: pod.namespace,
      podName: pod.name,
      owner: 'grpc',
      since: input.now,
      attachment: makeAttachment({
        pod,
        containerId: id,
        netns: '' as NetnsPath,
        ifName: 'eth0' as IfName,
        eni,
        addresses,
        extraRoutes: [],
      }),
    },
  ]
}
