// SPDX-License-Identifier: Apache-2.0
import { asCidr, familyOf } from './address.ts'
import type { Firewall, NftSet } from './firewall.ts'
import { aliasOf, type FabricState, type Link, type PrimaryConfig } from './state.ts'

/** What must be run, in this order: `ip -force -batch` in the fabric, then per machine, and one nftables transaction. */
export interface Commands {
  readonly fabric: readonly string[]
  readonly machines: ReadonlyMap<string, readonly string[]>
  readonly nft: readonly string[]
}

/** MAC address of every gateway in a VPC. */
export const GATEWAY_MAC = 'ee:ff:ff:ff:ff:ff'

/**
 * Next hops that stand for "the machine behind this ENI": each fabric end has one permanent neighbour per family with
 * the ENI's MAC, and every address is a route through it. So the fabric never resolves into a machine, and an address
 * costs one line.
 */
const NEXT_HOP = { 4: '169.254.0.1', 6: 'fe80::1' } as const
const FAMILIES = [4, 6] as const

/** The commands that lead from `before` to `after`; empty when nothing differs. */
export function plan(before: FabricState, after: FabricState): Commands {
  const fabric: string[] = []
  const machines = new Map<string, string[]>()
  const gone = [...before.links.values()].filter(link => !sameDevice(link, after.links.get(link.eniId)))
  fabric.push(...gone.toReversed().map(link => `link del dev ${link.dev}`))
  const kept = [...after.links.values()].filter(link => sameDevice(link, before.links.get(link.eniId)))
  for (const link of kept) fabric.push(...routesGone(before.links.get(link.eniId), link))
  fabric.push(...missing(after.blackholes, before.blackholes).map(c => `route del blackhole ${c}`))
  fabric.push(...missing(before.blackholes, after.blackholes).map(c => `route replace blackhole ${c}`))
  fabric.push(...missing(after.balancers, before.balancers).map(ip => `address del ${asCidr(ip)} dev lo`))
  fabric.push(
    ...missing(before.balancers, after.balancers).map(ip => `address replace ${asCidr(ip)} dev lo${familyOf(ip) === 6 ? ' nodad' : ''}`),
  )
  for (const link of after.links.values()) {
    const old = before.links.get(link.eniId)
    if (!sameDevice(link, old)) {
      fabric.push(...create(link))
      if (link.end.kind === 'veth' && link.end.primary !== undefined) {
        machines.set(link.end.netns, [...(machines.get(link.end.netns) ?? []), ...primaryLines(link.end.primary)])
      }
    }
    const had = sameDevice(link, old) ? (old?.routes ?? []) : []
    fabric.push(...missing(had, link.routes).map(cidr => `route replace ${cidr} via ${NEXT_HOP[familyOf(cidr)]} dev ${link.dev} onlink`))
  }
  return { fabric, machines, nft: firewallLines(before.firewall, after.firewall) }
}

function sameDevice(a: Link, b: Link | undefined): boolean {
  if (b === undefined || a.dev !== b.dev || a.mtu !== b.mtu) return false
  if (a.end.kind === 'veth') return b.end.kind === 'veth' && a.end.netns === b.end.netns && a.end.slot === b.end.slot
  return b.end.kind === 'vlan' && a.end.trunkDev === b.end.trunkDev && a.end.id === b.end.id
}

function routesGone(old: Link | undefined, link: Link): string[] {
  return missing(link.routes, old?.routes ?? []).map(cidr => `route del ${cidr} dev ${link.dev}`)
}

function create(link: Link): string[] {
  const { dev, mtu, mac, end } = link
  const add =
    end.kind === 'veth'
      ? [
          `link add dev ${dev} address ${GATEWAY_MAC} mtu ${mtu} type veth peer name eth${end.slot} address ${mac} mtu ${mtu} netns ${end.netns}`,
          `link set dev ${dev} alias ${aliasOf(end)}`,
        ]
      : [`link add link ${end.trunkDev} dev ${dev} address ${GATEWAY_MAC} mtu ${mtu} type vlan id ${end.id}`]
  return [...add, ...configure(link)]
}

/** What a fabric end needs once it exists; each line may be repeated. */
export function configure(link: Link): string[] {
  return [
    `link set dev ${link.dev} up`,
    ...link.gateways.map(g =>
      familyOf(g) === 4 ? `address replace ${g}/32 dev ${link.dev}` : `address replace ${g}/128 dev ${link.dev} nodad`,
    ),
    `ntable change name arp_cache dev ${link.dev} proxy_delay 0`,
    ...FAMILIES.map(f => `neighbour replace ${NEXT_HOP[f]} lladdr ${link.mac} dev ${link.dev} nud permanent`),
  ]
}

function primaryLines(config: PrimaryConfig): string[] {
  return [
    'link set dev lo up',
    'link set dev eth0 up',
    ...config.addresses.map(a => (familyOf(a) === 4 ? `address replace ${a} dev eth0` : `address replace ${a} dev eth0 nodad`)),
    ...config.gateways.flatMap(g => [
      ...(familyOf(g) === 6 ? [`route replace ${g}/128 dev eth0`] : []),
      `route replace default via ${g} dev eth0`,
    ]),
  ]
}

/** Elements leave before others come (intervals must not overlap); chains exist before a map jumps to them. */
function firewallLines(before: Firewall, after: Firewall): string[] {
  const lines: string[] = []
  for (const [name, set] of after.sets) {
    const old = before.sets.get(name)
    if (old === undefined && set.declaration !== undefined) lines.push(`add set inet fabric ${name} { ${set.declaration} }`)
  }
  for (const name of after.chains.keys()) if (!before.chains.has(name)) lines.push(`add chain inet fabric ${name}`)
  for (const [name, set] of after.sets)
    lines.push(...elementLines('delete', name, missing(set.elements, before.sets.get(name)?.elements ?? [])))
  for (const [name, rules] of after.chains) {
    const old = before.chains.get(name)
    if (old !== undefined && old.join('\n') === rules.join('\n')) continue
    if (old !== undefined) lines.push(`flush chain inet fabric ${name}`)
    lines.push(...rules.map(rule => `add rule inet fabric ${name} ${rule}`))
  }
  for (const [name, set] of after.sets)
    lines.push(...elementLines('add', name, missing(before.sets.get(name)?.elements ?? [], set.elements)))
  for (const name of before.chains.keys()) if (!after.chains.has(name)) lines.push(`delete chain inet fabric ${name}`)
  for (const name of goneSets(before.sets, after.sets)) lines.push(`delete set inet fabric ${name}`)
  return lines
}

function goneSets(before: ReadonlyMap<string, NftSet>, after: ReadonlyMap<string, NftSet>): string[] {
  return [...before.keys()].filter(name => !after.has(name))
}

function elementLines(verb: 'add' | 'delete', set: string, elements: readonly string[]): string[] {
  return elements.length === 0 ? [] : [`${verb} element inet fabric ${set} { ${elements.join(', ')} }`]
}

/** What `wanted` has and `present` has not. */
function missing<T>(present: Iterable<T>, wanted: Iterable<T>): T[] {
  const have = new Set(present)
  return [...wanted].filter(x => !have.has(x))
}
