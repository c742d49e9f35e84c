// SPDX-License-Identifier: Apache-2.0
import { isHostIfName } from '#datapath/host-if-name.ts'
import { type IfName, parseIfName } from '#kernel/names.ts'
import type { LinkState } from '#kernel/state.ts'
import { isAppError } from '#lib/errors.ts'
import type { Mac } from '#net/mac.ts'

/** What an ENI's device says by its alias while it is a pod's: whose, and what it is called on the host. */
export interface EniMark {
  readonly owner: string
  readonly home: IfName
}

/** Nobody else's alias begins so. */
const prefix = 'terway:'

/** No name of a device has a slash. */
export function formatMark({ owner, home }: EniMark): string {
  return `${prefix}${owner}/${home}`
}

/** Undefined for an alias that is not of ours. */
export function parseMark(alias: string | undefined): EniMark | undefined {
  if (alias?.startsWith(prefix) !== true) return undefined
  const [, owner, home] = /^(.+)\/([^/]+)$/.exec(alias.slice(prefix.length)) ?? []
  if (owner === undefined || home === undefined) return undefined
  try {
    return { owner, home: parseIfName(home) }
  } catch (e) {
    if (isAppError(e)) return undefined
    throw e
  }
}

/**
 * The ENI among the devices of one namespace, by its MAC. Devices stacked on it share that, and name it by a number of this namespace: `named` is the ENI if
 * there is one of this name, else the one that is on no other, which was there first.
 */
export function eniAmong(links: readonly LinkState[], mac: Mac, named?: IfName): LinkState | undefined {
  const same = links.filter(l => l.mac === mac && !isHostIfName(l.name)).sort((a, b) => a.index - b.index)
  return same.find(l => l.name === named) ?? same.find(l => l.peerIndex === undefined || l.peerNsid !== undefined) ?? same[0]
}

/** Whoever has a name. */
type Named = Pick<LinkState, 'name'>

/** What a device was called on the host before it went to a pod, if that is known and no name of `others`. */
export function formerName({ alias }: LinkState, others: readonly Named[]): IfName | undefined {
  const name = parseMark(alias)?.home
  return name === undefined || isHostIfName(name) || others.some(o => o.name === name) ? undefined : name
}

/** What a device is called when it comes back to the host: as before, unless that name is taken there. */
export function homeName(link: LinkState, mac: Mac, others: readonly Named[]): IfName {
  return formerName(link, others) ?? (`eni${mac.replaceAll(':', '')}` as IfName)
}
