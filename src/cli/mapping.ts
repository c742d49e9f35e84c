// SPDX-License-Identifier: Apache-2.0
import { type CliDeps, withDaemon } from '#cli/deps.ts'
import { type Tree, treeLines } from '#cli/tree.ts'
import type { MappingReply, PrefixInfo, ResourceDBEntry, ResourceMapping } from '#rpc/grpc/messages.ts'

/** The node's ENIs with their addresses and pods, then the leases as the daemon's ledger has them; `json`: the reply as it came. */
export async function mapping(deps: CliDeps, socket: string, json: boolean): Promise<void> {
  const reply = await withDaemon(deps, socket, daemon => daemon.mapping())
  if (json) return deps.out(JSON.stringify(reply))
  for (const line of mappingLines(reply)) deps.out(line)
}

export function mappingLines(reply: MappingReply): string[] {
  const leases = reply.resource_db.map(e => ({ text: leaseText(e) }))
  return [
    ...treeLines(reply.info.map(eniTree)),
    ...treeLines([{ text: `Resource DB (${leases.length} ${leases.length === 1 ? 'entry' : 'entries'})`, children: leases }]),
  ]
}

function eniTree(m: ResourceMapping): Tree {
  const fields: Tree[] = [{ text: `MAC: ${m.MAC}` }, { text: `Status: ${m.Status}` }, { text: `Type: ${m.Type}` }]
  if (m.AllocInhibitExpireAt !== '') fields.push({ text: `InhibitExpireAt: ${m.AllocInhibitExpireAt}` })
  if (m.ipv4_prefixes.length > 0) fields.push({ text: 'IPv4 Prefixes', children: m.ipv4_prefixes.map(prefixTree) })
  if (m.ipv6_prefixes.length > 0) fields.push({ text: 'IPv6 Prefixes', children: m.ipv6_prefixes.map(prefixTree) })
  if (m.Info.length > 0) fields.push({ text: 'IPs', children: m.Info.map(text => ({ text })) })
  return { text: `ENI: ${m.NetworkInterfaceID}`, children: fields }
}

function prefixTree(p: PrefixInfo): Tree {
  return {
    text: `${p.prefix} [${p.status}] ${p.total} total, ${p.used} used, ${p.available} free`,
    children: p.allocations.map(a => ({ text: `${a.ip} -> ${a.pod_id}` })),
  }
}

function leaseText(e: ResourceDBEntry): string {
  const own = e.type === 'eni' ? ' (exclusive)' : ''
  return `${e.pod_namespace}/${e.pod_name} -> ${e.eni_id} ${[e.ipv4, e.ipv6].filter(ip => ip !== '').join(',')}${own}`
}
