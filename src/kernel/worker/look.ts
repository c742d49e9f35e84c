// SPDX-License-Identifier: Apache-2.0
import type { Netns } from '#kernel/names.ts'
import { listAddrs } from '#kernel/netlink/addr.ts'
import { getLink, listLinks } from '#kernel/netlink/link.ts'
import { listNeighs } from '#kernel/netlink/neigh.ts'
import { getNsid } from '#kernel/netlink/nsid.ts'
import { getTbf } from '#kernel/netlink/qdisc.ts'
import { listRoutes } from '#kernel/netlink/route.ts'
import { listRules } from '#kernel/netlink/rule.ts'
import { KernelError } from '#kernel/port.ts'
import type { LinkState, NsQuery, NsState, Observed } from '#kernel/state.ts'
import type { Namespace, Namespaces } from '#kernel/worker/namespaces.ts'

/** Answers one query; undefined when its namespace does not exist. */
export function look(query: NsQuery, namespaces: Namespaces): Observed {
  let at: Namespace
  try {
    at = namespaces.get(query.ns)
  } catch (e) {
    if (e instanceof KernelError && e.code === 'netns-gone') return undefined
    throw e
  }
  const { conn } = at
  const links = query.links === 'all' ? listLinks(conn) : query.links.flatMap(name => getLink(conn, { name }) ?? [])
  // One dump for all devices, or one per device: the kernel filters by device itself.
  const devices = query.links === 'all' ? [0] : links.map(l => l.index)
  const { addrs = false, neighs = false, tbfs = false, routes, rules } = query
  return {
    ns: query.ns,
    links,
    addrs: addrs ? query.families.flatMap(f => devices.flatMap(d => listAddrs(conn, f, d))) : [],
    neighs: neighs ? query.families.flatMap(f => links.flatMap(l => listNeighs(conn, f, l.index))) : [],
    tbfs: tbfs ? links.filter(isTbf).flatMap(l => getTbf(conn, l.index) ?? []) : [],
    routes: routes === undefined ? [] : query.families.flatMap(f => routes.tables.flatMap(t => listRoutes(conn, f, t, routes.dst))),
    rules: rules === undefined ? [] : query.families.flatMap(f => listRules(conn, f, rules.priorities, rules.prefixes)),
    sysctls: at.readSysctls(query.sysctls ?? []),
    nsids: numbersOf(at, query.nsids ?? [], namespaces),
  } satisfies NsState
}

function isTbf(link: LinkState): boolean {
  return link.qdisc === 'tbf'
}

function numbersOf(at: Namespace, others: readonly Netns[], namespaces: Namespaces): Record<string, number> {
  const found: Record<string, number> = {}
  for (const ns of others) {
    try {
      const nsid = getNsid(at.conn, namespaces.get(ns).fd)
      if (nsid !== undefined) found[ns] = nsid
    } catch (e) {
      if (!(e instanceof KernelError && e.code === 'netns-gone')) throw e
    }
  }
  return found
}
