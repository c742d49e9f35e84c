// SPDX-License-Identifier: Apache-2.0
import { namespaceKeyOf } from '#kernel/bpf/maps.ts'
import type { Netns } from '#kernel/names.ts'
import { listAddrs } from '#kernel/netlink/addr.ts'
import { type Message, NetlinkError } from '#kernel/netlink/conn.ts'
import { getHook, listFilters } from '#kernel/netlink/filter.ts'
import { askLink, askLinks, parseLink } from '#kernel/netlink/link.ts'
import { confValue, type LinkConf, parseLinkConf } from '#kernel/netlink/link-conf.ts'
import { getNeigh } from '#kernel/netlink/neigh.ts'
import { getNsid } from '#kernel/netlink/nsid.ts'
import { PrefixFilter } from '#kernel/netlink/prefix-filter.ts'
import { getTbf } from '#kernel/netlink/qdisc.ts'
import { listRoutes } from '#kernel/netlink/route.ts'
import { listRules } from '#kernel/netlink/rule.ts'
import type { LinkState, NsQuery, NsState, Observed } from '#kernel/state.ts'
import { learnCookie } from '#kernel/worker/cookie.ts'
import type { Namespace, Namespaces } from '#kernel/worker/namespaces.ts'
import type { Cidr } from '#net/cidr.ts'

/** Answers one query; undefined when its namespace does not exist. */
export function look(query: NsQuery, namespaces: Namespaces): Observed {
  const at = namespaces.find(query.ns)
  if (at === undefined) return undefined
  const { conn } = at
  const described = query.links === 'all' ? askLinks(conn, describe) : query.links.flatMap(name => askLink(conn, { name }, describe) ?? [])
  const links = described.map(d => d.link)
  // One dump for all devices, or one per device: the kernel filters by device itself.
  const devices = query.links === 'all' ? [0] : links.map(l => l.index)
  const { addrs = false, neighs = [], tbfs = false, routes, rules, hooks = false, blocks = [], sockets = false, entries = [] } = query
  const cookie = query.cookie === true ? cookieOf(query.ns, at, namespaces) : undefined
  const asked = cookie === undefined ? entries : [...entries, { map: 'namespaces', key: namespaceKeyOf(cookie) } as const]
  const [dst, prefixes] = [filter(routes?.dst), filter(rules?.prefixes)]
  return {
    ns: query.ns,
    links,
    addrs: addrs ? query.families.flatMap(f => devices.flatMap(d => listAddrs(conn, f, d))) : [],
    neighs: neighs.flatMap(ip => ofPresent(links, l => getNeigh(conn, l.index, ip))),
    tbfs: tbfs ? ofPresent(links.filter(isTbf), l => getTbf(conn, l.index)) : [],
    routes: routes === undefined ? [] : query.families.flatMap(f => routes.tables.flatMap(t => listRoutes(conn, f, t, dst))),
    rules: rules === undefined ? [] : query.families.flatMap(f => listRules(conn, f, rules.priorities, prefixes)),
    sysctls: readSysctls(at, query.sysctls ?? [], new Map(described.map(d => [d.link.name, d.conf]))),
    nsids: numbersOf(at, query.nsids ?? [], namespaces),
    hooks: hooks ? ofPresent(links, l => getHook(conn, l.index)) : [],
    filters: blocks.flatMap(b => listFilters(conn, b).map(f => namespaces.pinned.recognise(f))),
    sockets: sockets ? namespaces.sockets.list() : [],
    ...(cookie === undefined ? {} : { cookie }),
    entries: asked.flatMap(e => namespaces.pinned.entry(e.map, e.key) ?? []),
  } satisfies NsState
}

/** That of the host is known to the programs anyway. */
function cookieOf(ns: Netns, at: Namespace, { pinned }: Namespaces): bigint | undefined {
  return at.conn.cookie() ?? (ns === 'host' ? undefined : learnCookie(at, pinned))
}

/** What is asked of each device; one that went away since the devices were listed has nothing. */
function ofPresent<T>(links: readonly LinkState[], ask: (link: LinkState) => T | undefined): T[] {
  return links.flatMap(link => {
    try {
      return ask(link) ?? []
    } catch (e) {
      if (e instanceof NetlinkError && e.errno === 'ENODEV') return []
      throw e
    }
  })
}

function describe(m: Message): { readonly link: LinkState; readonly conf: LinkConf } {
  return { link: parseLink(m), conf: parseLinkConf(m) }
}

/** What the devices just seen did not tell is read from files. */
function readSysctls(at: Namespace, keys: readonly string[], confs: ReadonlyMap<string, LinkConf>): Record<string, string> {
  const told: Record<string, string> = {}
  const files = keys.filter(key => {
    const value = confValue(confs, key)
    if (value !== undefined) told[key] = value
    return value === undefined
  })
  return { ...told, ...at.readSysctls(files) }
}

function filter(prefixes: readonly Cidr[] | undefined): PrefixFilter | undefined {
  return prefixes === undefined ? undefined : new PrefixFilter(prefixes)
}

function isTbf(link: LinkState): boolean {
  return link.qdisc === 'tbf'
}

function numbersOf(at: Namespace, others: readonly Netns[], namespaces: Namespaces): Record<string, number> {
  const found: Record<string, number> = {}
  for (const ns of others) {
    const other = namespaces.find(ns)
    const nsid = other && getNsid(at.conn, other.fd)
    if (nsid !== undefined) found[ns] = nsid
  }
  return found
}
