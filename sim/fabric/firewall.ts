// SPDX-License-Identifier: Apache-2.0
import type { EniView, FabricView, SecurityGroupView } from '../model/view.ts'
import { asCidr, familyOf } from './address.ts'

/** The changing part of the nftables table: sets and maps by name, chains as lists of rules. The rest is in `base.ts`. */
export interface Firewall {
  readonly sets: ReadonlyMap<string, NftSet>
  readonly chains: ReadonlyMap<string, readonly string[]>
}
export interface NftSet {
  /** The declaration inside `{ }`; undefined for the sets that the base table declares. */
  readonly declaration?: string
  readonly elements: ReadonlySet<string>
}

type Rule = SecurityGroupView['rules'][number]
type Direction = Rule['direction']

/** Sets, maps and chains for the ENIs that are present (attached to a placed machine). */
export function firewallOf(enis: readonly EniView[], view: FabricView, deviceOf: (mac: string) => string): Firewall {
  const groups = new Map(view.securityGroups.map(g => [g.id, g]))
  const sets = new Map<string, NftSet>()
  const chains = new Map<string, readonly string[]>()
  const ingress = new Set<string>()
  const egress = new Set<string>()
  for (const eni of enis) {
    const ids = [...new Set(eni.securityGroupIds)].filter(id => groups.has(id)).sort()
    const own = ids.flatMap(id => groups.get(id) ?? [])
    const suffix = ids.length === 0 ? 'none' : ids.join('.')
    if (!chains.has(`in-${suffix}`)) {
      chains.set(`in-${suffix}`, groupChain('ingress', own))
      chains.set(`out-${suffix}`, groupChain('egress', own))
    }
    ingress.add(`"${deviceOf(eni.mac)}" : jump in-${suffix}`)
    egress.add(`"${deviceOf(eni.mac)}" : jump out-${suffix}`)
  }
  sets.set('ingress', { elements: ingress })
  sets.set('egress', { elements: egress })
  addSourceSets(sets, enis, deviceOf)
  sets.set('eip-out', { elements: new Set(view.eips.map(e => `${e.private4} : ${e.public4}`)) })
  sets.set('eip-in', { elements: new Set(view.eips.map(e => `${e.public4} : ${e.private4}`)) })
  addMemberSets(sets, view)
  return { sets, chains }
}

/** Which sources a checked ENI may use. */
function addSourceSets(sets: Map<string, NftSet>, enis: readonly EniView[], deviceOf: (mac: string) => string): void {
  const checked = enis.filter(e => e.sourceDestCheck)
  sets.set('checked', { elements: new Set(checked.map(e => `"${deviceOf(e.mac)}"`)) })
  for (const family of [4, 6] as const) {
    const pairs = checked.flatMap(e => cidrsOf(e, family).map(cidr => `"${deviceOf(e.mac)}" . ${cidr}`))
    sets.set(`source${family}`, { elements: new Set(pairs) })
  }
}

/** Addresses of a group's members, for rules whose peer is a group and for traffic inside it. */
function addMemberSets(sets: Map<string, NftSet>, view: FabricView): void {
  for (const group of view.securityGroups) {
    const members = view.enis.filter(e => e.securityGroupIds.includes(group.id))
    for (const family of [4, 6] as const) {
      const declaration = `type ipv${family}_addr; flags interval;`
      sets.set(memberSet(group.id, family), { declaration, elements: new Set(members.flatMap(e => cidrsOf(e, family))) })
    }
  }
}

function memberSet(groupId: string, family: 4 | 6): string {
  return `members${family}-${groupId}`
}

/** An ENI's addresses of a family, as nftables writes them: a single address without its length. */
function cidrsOf(eni: EniView, family: 4 | 6): string[] {
  return [...eni.ipv4, ...eni.ipv6, ...eni.prefixes].filter(a => familyOf(a) === family)
}

/**
 * The rules of all groups of an ENI together, by priority, drop before accept; then traffic inside a group; then the
 * default: ingress is refused, egress allowed (ECS security groups, "rule priority" and "default rules").
 * `accept` of an egress rule only returns, because the destination's ingress rules are still to come.
 */
function groupChain(direction: Direction, groups: readonly SecurityGroupView[]): readonly string[] {
  const rules = groups.flatMap(g => g.rules).filter(r => r.direction === direction)
  const ordered = rules.toSorted((a, b) => a.priority - b.priority || order(a.policy) - order(b.policy))
  const lines = ordered.flatMap(rule => {
    const verdict = rule.policy === 'drop' ? 'counter drop' : accept(direction)
    return peersOf(rule).map(peer => [peer, match(rule), verdict].filter(p => p !== '').join(' '))
  })
  if (direction === 'egress') return lines
  const inside = groups.filter(g => g.intraGroup)
  const intra = inside.flatMap(g => [`ip saddr @${memberSet(g.id, 4)} accept`, `ip6 saddr @${memberSet(g.id, 6)} accept`])
  return [...lines, ...intra, 'counter drop']
}

function accept(direction: Direction): string {
  return direction === 'ingress' ? 'accept' : 'return'
}

function order(policy: Rule['policy']): number {
  return policy === 'drop' ? 0 : 1
}

function peersOf(rule: Rule): readonly string[] {
  const side = rule.direction === 'ingress' ? 'saddr' : 'daddr'
  if ('groupId' in rule.peer) return [`ip ${side} @${memberSet(rule.peer.groupId, 4)}`, `ip6 ${side} @${memberSet(rule.peer.groupId, 6)}`]
  const cidr = asCidr(rule.peer.cidr)
  if (cidr.endsWith('/0')) return [`meta nfproto ipv${familyOf(cidr)}`]
  return [`${familyOf(cidr) === 4 ? 'ip' : 'ip6'} ${side} ${cidr}`]
}

function match(rule: Rule): string {
  if (rule.protocol === 'all') return ''
  if (rule.protocol === 'icmpv6') return 'meta l4proto ipv6-icmp'
  if (rule.ports === undefined || rule.protocol === 'icmp') return `meta l4proto ${rule.protocol}`
  const [from, to] = rule.ports
  return `${rule.protocol} dport ${from === to ? from : `${from}-${to}`}`
}
