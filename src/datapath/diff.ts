// SPDX-License-Identifier: Apache-2.0
import type {
  AddrWant,
  Desired,
  EntryWant,
  FilterWant,
  HookWant,
  LinkWant,
  MoveWant,
  NeighWant,
  OnlyRoutesWant,
  RouteWant,
  RuleWant,
  SysctlWant,
  TbfWant,
} from '#datapath/desired.ts'
import { ourRule } from '#datapath/ours.ts'
import type { Pair } from '#datapath/veth.ts'
import { isInPlace, View, type World } from '#datapath/view.ts'
import type { IfName } from '#kernel/names.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { EntryState, NsState } from '#kernel/state.ts'
import { type Cidr, familyOfCidr } from '#net/cidr.ts'
import { familyOf } from '#net/ip.ts'

/**
 * The operations that turn what is there into what is wanted, in an order in which each can succeed: devices, their
 * settings, addresses, up, neighbours, routes, rules, queues; then what the programs are told, before the devices join them. The kernel
 * stops a device that is up for a moment when it joins: one that is still to be made does so first. New before old wherever both can exist, so that there is no
 * moment without. Empty when nothing differs. `pair` says whether the veth of `desired` exists.
 */
export function diff(desired: Desired, world: World, pair?: Pair): KernelOp[] {
  const at = new View(world, desired, pair)
  const isNew = desired.veth !== undefined && pair?.state === 'absent'
  const hooks = desired.hooks.flatMap(want => hookOps(want, at))
  const entries = [...world.host.entries, ...(world.pod?.entries ?? [])]
  return [
    ...desired.moves.flatMap(moveOps),
    ...vethOps(desired, pair),
    ...(isNew ? hooks : []),
    ...desired.sysctls.flatMap(want => sysctlOps(want, at)),
    ...addrOps(desired, at),
    ...desired.links.flatMap(want => linkOps(want, at, desired, pair)),
    ...desired.neighs.flatMap(want => neighOps(want, at)),
    ...desired.routes.flatMap(want => routeOps(want, at)),
    ...desired.onlyRoutes.flatMap(want => otherRouteOps(want, desired, at)),
    ...desired.rules.flatMap(want => ruleOps(want, world.host)),
    ...desired.tbfs.flatMap(want => tbfOps(want, at)),
    ...desired.entries.flatMap(want => entryOps(want, entries)),
    ...(isNew ? [] : hooks),
    ...desired.filters.flatMap(want => filterOps(want, world.host)),
  ]
}

function vethOps({ veth }: Desired, pair: Pair | undefined): KernelOp[] {
  if (veth === undefined || pair?.state !== 'absent') return []
  const { hostDev, hostMac, netns, podDev, podMac, mtu } = veth
  const add: KernelOp = { op: 'veth-add', ns: 'host', dev: hostDev, mac: hostMac, mtu, peer: { ns: netns, dev: podDev, mac: podMac, mtu } }
  return pair.namesake ? [{ op: 'link-del', ns: 'host', dev: hostDev }, add] : [add]
}

/** A device is named while it is down. What it says of itself in a pod is said before it goes there, so that it says so whenever it is there. */
function moveOps(want: MoveWant): KernelOp[] {
  const { ns, dev, from, link, alias } = want
  if (isInPlace(want)) return []
  const says = alias === (link.alias ?? '') ? {} : { alias }
  const before = { ...(ns === from && link.up ? { up: false } : {}), ...(alias === '' ? {} : says) }
  return [
    ...(Object.keys(before).length === 0 ? [] : [{ op: 'link-set', ns: from, dev: link.name, set: before } as const]),
    { op: 'link-move', ns: from, dev: link.name, to: ns, name: dev },
    ...(alias === '' && 'alias' in says ? [{ op: 'link-set', ns, dev, set: says } as const] : []),
  ]
}

/**
 * A key that the kernel does not have, although its device exists, cannot be set and needs not be. A device that is still
 * to be made will inherit the namespace's default; of one that arrives nothing is known.
 */
function sysctlOps({ ns, key, value, instead }: SysctlWant, at: View): KernelOp[] {
  const sysctls = at.state(ns)?.sysctls ?? {}
  const [net, ip, conf, dev = '', ...rest] = key.split('/')
  const place = { ns, dev: dev as IfName }
  if (at.isArriving(place)) return [{ op: 'sysctl-set', ns, key, value }]
  const unmade = at.isUnmade(place)
  const present = sysctls[unmade ? [net, ip, conf, 'default', ...rest].join('/') : key]
  const settled = present === undefined ? !unmade : present === value || instead?.includes(present) === false
  return settled ? [] : [{ op: 'sysctl-set', ns, key, value }]
}

function addrOps(desired: Desired, at: View): KernelOp[] {
  const additions = desired.addrs.flatMap(want => addrOp(want, at))
  const removals = desired.exclusive.flatMap(({ ns, dev, family }): KernelOp[] => {
    const link = at.link({ ns, dev })
    if (link === undefined) return []
    const wanted = (ip: string) => desired.addrs.some(w => w.ns === ns && w.dev === dev && w.present && w.address === ip)
    return (at.state(ns)?.addrs ?? [])
      .filter(a => a.ifIndex === link.index && a.scope === 'global' && familyOf(a.address) === family && !wanted(a.address))
      .map(({ address, prefix }) => ({ op: 'addr-del', ns, dev, address, prefix }))
  })
  return [...additions, ...removals]
}

function addrOp({ ns, dev, address, prefix, nodad, present }: AddrWant, at: View): KernelOp[] {
  const link = at.link({ ns, dev })
  const there = at.state(ns)?.addrs.some(a => link?.index === a.ifIndex && a.address === address && a.prefix === prefix) ?? false
  if (there === present) return []
  return [{ op: present ? 'addr-add' : 'addr-del', ns, dev, address, prefix, ...(nodad && present ? { nodad } : {}) }]
}

/** A device that was just made has its MTU already. */
function linkOps(want: LinkWant, at: View, desired: Desired, pair: Pair | undefined): KernelOp[] {
  const { ns, dev } = want
  const link = at.link(want)
  const mtu = link?.mtu ?? (pair?.state === 'absent' ? desired.veth?.mtu : undefined)
  const wanted = want.mtu ?? Math.max(want.minMtu ?? 0, mtu ?? 0)
  const set = {
    ...(wanted === (mtu ?? 0) ? {} : { mtu: wanted }),
    ...(want.alias !== undefined && want.alias !== link?.alias ? { alias: want.alias } : {}),
    ...(link?.up === true ? {} : { up: true }),
  }
  return Object.keys(set).length === 0 ? [] : [{ op: 'link-set', ns, dev, set }]
}

function neighOps({ ns, dev, ip, mac }: NeighWant, at: View): KernelOp[] {
  const link = at.link({ ns, dev })
  const there = at.state(ns)?.neighs.some(n => n.ifIndex === link?.index && n.ip === ip && n.mac === mac && n.permanent) ?? false
  return there ? [] : [{ op: 'neigh-replace', ns, dev, ip, mac }]
}

/** IPv6 routes have no scope in the kernel. */
function routeOps(want: RouteWant, at: View): KernelOp[] {
  const { ns, dev, dst, table, via, scope } = want
  const op = want.beside ? 'route-append' : 'route-replace'
  const link = at.link(want)
  const there =
    at
      .state(ns)
      ?.routes.some(
        r =>
          r.dst === dst &&
          r.table === table &&
          r.ifIndex === link?.index &&
          r.via === via &&
          (familyOfCidr(dst) === 6 || r.scope === scope),
      ) ?? false
  if (link !== undefined && there) return []
  return [{ op, ns, dev, dst, table, scope, ...(via === undefined ? {} : { via }), ...(want.onlink ? { onlink: true } : {}) }]
}

function otherRouteOps({ ns, dev, table, via }: OnlyRoutesWant, desired: Desired, at: View): KernelOp[] {
  const link = at.link({ ns, dev })
  const wanted = (dst: Cidr) => desired.routes.some(w => w.ns === ns && w.dev === dev && w.table === table && w.dst === dst)
  return (at.state(ns)?.routes ?? [])
    .filter(r => r.ifIndex === link?.index && r.table === table && r.via === via && !wanted(r.dst))
    .map(({ dst, scope }) => ({ op: 'route-del', ns, dev, dst, table, via, scope: scope === 'link' ? 'link' : 'global' }))
}

/** A rule for the same prefix that looks up another table is one of ours that is out of date. */
function ruleOps(want: RuleWant, host: NsState): KernelOp[] {
  const same = host.rules.filter(r => r.priority === want.priority && r.from === want.from && r.to === want.to && ourRule(r) !== undefined)
  const ops: KernelOp[] = same.some(r => r.table === want.table) ? [] : [{ op: 'rule-add', ns: 'host', ...want }]
  for (const { table } of same) if (table !== want.table) ops.push({ op: 'rule-del', ns: 'host', ...want, table })
  return ops
}

function tbfOps({ ns, dev, rate, burst, limit }: TbfWant, at: View): KernelOp[] {
  const link = at.link({ ns, dev })
  const there = at.state(ns)?.tbfs.some(t => t.ifIndex === link?.index && t.rate === rate && t.limit === limit) ?? false
  return link !== undefined && there ? [] : [{ op: 'tbf-replace', ns, dev, rate, burst, limit }]
}

function entryOps(want: EntryWant, entries: readonly EntryState[]): KernelOp[] {
  const { map, key, value, numberOf } = want
  const there = numberOf === undefined && entries.some(e => e.map === map && e.key === key && e.value === value)
  return there ? [] : [{ op: 'map-put', ns: 'host', ...want }]
}

/** A device that joins other blocks leaves them first; a qdisc of somebody else's stays, and the kernel refuses to join beside it. */
function hookOps(want: HookWant, at: View): KernelOp[] {
  const { ns, dev, ingress, egress } = want
  const link = at.link(want)
  const hook = at.state(ns)?.hooks.find(h => h.ifIndex === link?.index)
  if (hook?.ingress === ingress && hook?.egress === egress) return []
  const blocks = { ...(ingress === undefined ? {} : { ingress }), ...(egress === undefined ? {} : { egress }) }
  const leave: KernelOp[] = hook?.ingress === undefined && hook?.egress === undefined ? [] : [{ op: 'block-leave', ns, dev }]
  return Object.keys(blocks).length === 0 ? leave : [...leave, { op: 'block-join', ns, dev, ...blocks }]
}

/** A block exists while a device joins it, so this comes after the joins. Until then what arrives goes on to the host stack. */
function filterOps({ block, program, generation }: FilterWant, host: NsState): KernelOp[] {
  const name = `${program}.${generation}`
  const there = host.filters.some(f => f.block === block && f.name === name)
  return there ? [] : [{ op: 'filter-set', ns: 'host', block, program, generation }]
}
