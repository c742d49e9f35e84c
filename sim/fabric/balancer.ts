// SPDX-License-Identifier: Apache-2.0
import type { BalancerView } from '../model/view.ts'
import { familyOf } from './address.ts'
import type { Firewall, NftSet } from './firewall.ts'

/**
 * Balancers of the fourth layer as nftables has them: the destination becomes a target, chosen by chance for each connection, and the client's
 * address stays. Connection tracking keeps a connection with its target whatever becomes of the listener.
 */
export function balancersOf(balancers: readonly BalancerView[]): Firewall {
  const chains = new Map<string, readonly string[]>()
  const elements = { 4: new Set<string>(), 6: new Set<string>() }
  for (const { id, addresses, listeners } of balancers)
    for (const address of addresses)
      for (const { protocol, port, targets, sources = [] } of listeners) {
        const family = familyOf(address)
        const name = `${id}-${family}-${protocol}-${port}`
        const own = targets.filter(t => familyOf(t.ip) === family)
        chains.set(name, own.length === 0 ? [drop] : [...othersOf(sources, family), toOneOf(protocol, family, own)])
        elements[family].add(`${address} . ${protocol} . ${port} : jump ${name}`)
      }
  const sets = new Map<string, NftSet>(([4, 6] as const).map(family => [`listeners${family}`, { elements: elements[family] }]))
  return { sets, chains }
}

const drop = 'counter drop'
const header = (family: 4 | 6) => (family === 4 ? 'ip' : 'ip6')

/** Who is not named gets nothing. */
function othersOf(sources: readonly string[], family: 4 | 6): readonly string[] {
  const own = sources.filter(cidr => familyOf(cidr) === family)
  return own.length === 0 ? [] : [`${header(family)} saddr != { ${own.join(', ')} } ${drop}`]
}

function toOneOf(protocol: 'tcp' | 'udp', family: 4 | 6, targets: BalancerView['listeners'][number]['targets']): string {
  const choices = targets.map(({ ip, port }, i) => `${i} : ${ip} . ${port}`).join(', ')
  return `meta l4proto ${protocol} dnat ${header(family)} addr . port to numgen random mod ${targets.length} map { ${choices} }`
}
