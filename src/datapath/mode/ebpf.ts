// SPDX-License-Identifier: Apache-2.0
import { hash } from 'node:crypto'
import type { Attachment, IfName, SharedEniAttachment } from '#datapath/attachment.ts'
import { type Desired, type EntryWant, type FilterWant, type HookWant, nothing } from '#datapath/desired.ts'
import type { EniFacts } from '#datapath/eni.ts'
import { addressesOf, gatewaysOf } from '#datapath/mode/veth-route.ts'
import { type MapName, maps } from '#kernel/bpf/maps.ts'
import { addressState, block, endpointFlag } from '#kernel/bpf/words.ts'
import type { NsState } from '#kernel/state.ts'
import type { Ip } from '#net/ip.ts'
import type { Mac } from '#net/mac.ts'

/** What the plan of a pod's endpoint takes from the world. */
export interface EndpointFacts {
  readonly eni: EniFacts
  /** Of the ENI's device, as it is or as the plan of the pod's network makes it. */
  readonly eniMtu: number
  readonly hostMac: Mac
  readonly podMac: Mac
  /** The number of the host end, which is the endpoint's; undefined while it is still to be made. */
  readonly hostIndex: number | undefined
  /** Of the programs that are loaded. */
  readonly generation: string
  /** Whether the programs translate Services: what the node's own device receives is another program's then. */
  readonly services: boolean
  /** Devices that have an ingress or clsact qdisc of somebody else's, beside which none of ours can be. */
  readonly taken: readonly IfName[]
}

/**
 * What a pod has on a node with programs, beside all that it has on any node: its endpoint, its addresses, and programs
 * at its host end and its ENI. In the order in which they are put: an address leads to an endpoint that is there. A pod whose
 * host end is taken is left to the host stack, and says so, since a packet to an address that is not there would leave the node.
 */
export function planEndpoint(a: SharedEniAttachment, facts: EndpointFacts): Desired {
  const { eni, generation, hostIndex, services, taken } = facts
  const filter = (program: FilterWant['program'], block: number): FilterWant => ({ block, program, generation })
  const isOurs = !taken.includes(a.hostIfName)
  const hooks: HookWant[] = []
  const filters: FilterWant[] = []
  if (isOurs) {
    hooks.push({ ns: 'host', dev: a.hostIfName, ingress: block.podIn, egress: block.podOut })
    filters.push(filter('pod_in', block.podIn), filter('pod_out', block.podOut))
  }
  // node_in serves the pods of its device too.
  if (!taken.includes(eni.dev) && !(services && eni.dev === eni.uplink)) {
    hooks.push({ ns: 'host', dev: eni.dev, ingress: block.eniIn })
    filters.push(filter('eni_in', block.eniIn))
  }
  const state = isOurs ? addressState.live : addressState.stack
  return { ...nothing, entries: [...(isOurs ? [endpointOf(a, facts)] : []), ...addressEntries(a, hostIndex, state)], hooks, filters }
}

/** Of each address of a pod: they lead to its host end. */
export function addressEntries(a: Attachment, hostIndex: number | undefined, state: number): EntryWant[] {
  const value = maps.addresses.value.encode({ endpoint: hostIndex ?? 0, incarnation: incarnationOf(a), state }).toString('hex')
  return addressesOf(a).map(ip => ({ map: 'addresses', key: addressKeyOf(ip), value, ...numberLater(a, hostIndex, 'value') }))
}

function numberLater(a: Attachment, hostIndex: number | undefined, part: 'key' | 'value'): Pick<EntryWant, 'numberOf'> {
  return hostIndex === undefined ? { numberOf: { dev: a.hostIfName, in: part } } : {}
}

function endpointOf(a: SharedEniAttachment, { eni, eniMtu, hostMac, podMac, hostIndex }: EndpointFacts): EntryWant {
  const { gateway4, gateway6 } = gatewaysOf(a)
  const value = maps.endpoints.value.encode({
    incarnation: incarnationOf(a),
    outIfIndex: eni.index,
    podMac,
    hostMac,
    mtu: a.mtu,
    outMtu: Math.min(a.mtu, eniMtu),
    flags: a.ingressBytesPerSecond === undefined ? 0 : endpointFlag.shaped,
    address4: a.v4?.address,
    gateway4,
    address6: a.v6?.address,
    gateway6,
  })
  return { map: 'endpoints', key: endpointKeyOf(hostIndex ?? 0), value: value.toString('hex'), ...numberLater(a, hostIndex, 'key') }
}

/** Of the sandbox, never 0: two sandboxes that have the same address one after the other differ in it. */
export function incarnationOf({ containerId }: Pick<SharedEniAttachment, 'containerId'>): number {
  return hash('sha1', containerId, 'buffer').readUInt32LE(0) || 1
}

export function endpointKeyOf(hostIndex: number): string {
  return maps.endpoints.key.encode({ ifIndex: hostIndex }).toString('hex')
}

export function addressKeyOf(ip: Ip): string {
  return maps.addresses.key.encode({ ip }).toString('hex')
}

/** What the plan takes from a look at the host. `isMade`: the host end that is there is this pod's. */
export function endpointFacts(
  a: SharedEniAttachment,
  eni: EniFacts,
  pair: Pick<EndpointFacts, 'hostMac' | 'podMac'> & { readonly isMade: boolean },
  { generation, services }: Pick<EndpointFacts, 'generation' | 'services'>,
  host: NsState,
): EndpointFacts {
  const { hostMac, podMac, isMade } = pair
  const hostEnd = isMade ? host.links.find(l => l.name === a.hostIfName) : undefined
  const mtu = host.links.find(l => l.index === eni.index)?.mtu ?? a.mtu
  // The plan of the pod's network raises it, unless the device is the node's own.
  const eniMtu = eni.dev === eni.uplink ? mtu : Math.max(a.mtu, mtu)
  const isTaken = (index: number | undefined) => host.hooks.some(h => h.foreign && h.ifIndex === index)
  const taken = [...(isTaken(hostEnd?.index) ? [a.hostIfName] : []), ...(isTaken(eni.index) ? [eni.dev] : [])]
  return { eni, eniMtu, hostMac, podMac, hostIndex: hostEnd?.index, generation, services, taken }
}

/** What must be looked at to judge a pod's entries. An endpoint's key is known once its host end has been seen. */
export function entryQuery(a: SharedEniAttachment, hostIndex: number | undefined): { readonly map: MapName; readonly key: string }[] {
  const addresses = addressesOf(a).map(ip => ({ map: 'addresses', key: addressKeyOf(ip) }) as const)
  return hostIndex === undefined ? addresses : [...addresses, { map: 'endpoints', key: endpointKeyOf(hostIndex) }]
}
