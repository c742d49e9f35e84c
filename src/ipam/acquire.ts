// SPDX-License-Identifier: Apache-2.0
import { type BookView, podIdOf } from '#ipam/book.ts'
import type { Lease } from '#ipam/ledger.ts'
import type { AddressState, Counts, PoolAddress, PoolEni, PoolView } from '#ipam/node-pool.ts'
import type { Cidr } from '#net/cidr.ts'
import type { Family } from '#net/ip.ts'

export interface Wanted {
  readonly containerId: string
  readonly ifName: string
  readonly podUid: string
  /** namespace/name */
  readonly podId: string
  readonly families: readonly Family[]
  /** local: any idle address. foreign: only addresses that Node.status binds to this pod (Terway's protocol). */
  readonly binding: 'local' | 'foreign'
  /** The pod needs an ENI that no other pod uses. */
  readonly wholeEni?: true
}

export type Choice =
  /** This container's lease already exists. */
  | { readonly kind: 'existing'; readonly lease: Lease }
  /** The container id belongs to another pod, has its network under another name, or its network is being taken down. */
  | { readonly kind: 'refused'; readonly reason: string; readonly waitHelps: boolean }
  | { readonly kind: 'chosen'; readonly eni: PoolEni; readonly addresses: readonly PoolAddress[]; readonly waived: boolean }
  | { readonly kind: 'dry'; readonly missing: readonly string[] }

/**
 * Which addresses a pod's sandbox gets. A repeated call for one container finds its first lease; all families come from one
 * ENI; the address released longest ago goes first, and among equals the ENI with most leases, so that other ENIs empty and
 * can be given back. Addresses that still cool are used only when nothing is idle (docs/addresses.md).
 */
export function acquire(want: Wanted, pool: PoolView, book: BookView): Choice {
  const lease = book.lease(want.containerId)
  if (lease !== undefined) return existing(want, lease)
  const rested = candidates(want, pool, ['idle'])
  const best = pick(rested)
  if (best !== undefined) return { kind: 'chosen', ...best, waived: false }
  const resting = pick(candidates(want, pool, ['idle', 'cooling']))
  if (resting !== undefined) return { kind: 'chosen', ...resting, waived: want.binding === 'local' }
  return { kind: 'dry', missing: missing(want, pool) }
}

function existing(want: Wanted, lease: Lease): Choice {
  const owner = podIdOf(lease)
  if (owner !== want.podId || lease.podUid !== want.podUid) {
    return { kind: 'refused', reason: `container ${want.containerId} is the sandbox of ${owner} (${lease.podUid})`, waitHelps: false }
  }
  const { ifName } = lease.attachment
  if (ifName !== want.ifName) {
    const reason = `container ${want.containerId} has its network as ${ifName}, and gets no second one as ${want.ifName}`
    return { kind: 'refused', reason, waitHelps: false }
  }
  if (lease.state === 'dying') {
    return { kind: 'refused', reason: `the network of container ${want.containerId} is being taken down`, waitHelps: true }
  }
  return { kind: 'existing', lease }
}

interface Candidate {
  readonly eni: PoolEni
  readonly addresses: readonly PoolAddress[]
}

/** The best set of addresses of each ENI that can serve all families. */
function candidates(want: Wanted, pool: PoolView, states: readonly AddressState[]): readonly Candidate[] {
  return pool.enis.flatMap(eni => {
    if (!eni.usable || (want.wholeEni && leased(eni) > 0)) return []
    const addresses = want.families.flatMap(family => {
      if (subnetOf(eni, family) === undefined) return []
      const free = eni.addresses.filter(a => a.family === family && fits(a, want, states))
      return longestRested(free) ?? []
    })
    return addresses.length === want.families.length ? [{ eni, addresses }] : []
  })
}

function subnetOf(eni: PoolEni, family: Family): Cidr | undefined {
  return family === 4 ? eni.subnet4 : eni.subnet6
}

function fits(a: PoolAddress, want: Wanted, states: readonly AddressState[]): boolean {
  const mine = a.podId === want.podId && (a.podUid === undefined || a.podUid === want.podUid)
  const free = states.includes(a.state) || (a.reserved === true && mine)
  return want.binding === 'foreign' ? free && mine : free
}

function pick(found: readonly Candidate[]): Candidate | undefined {
  return [...found].sort((a, b) => newest(a) - newest(b) || leased(b.eni) - leased(a.eni) || (a.eni.eniId < b.eni.eniId ? -1 : 1))[0]
}

/** Of equally rested ones the first, which is the lowest: addresses of an ENI are sorted. Sorting them again took half a millisecond with 240. */
function longestRested(free: readonly PoolAddress[]): PoolAddress | undefined {
  let best: PoolAddress | undefined
  for (const a of free) if (best === undefined || a.releasedAt < best.releasedAt) best = a
  return best
}

/** A set has rested as long as the one of its addresses that was released last. */
function newest(c: Candidate): number {
  return Math.max(...c.addresses.map(a => a.releasedAt))
}

function leased(eni: PoolEni): number {
  return eni.addresses.filter(a => a.state === 'leased').length
}

/** What would have to change for this pod to be served, most telling first. */
function missing(want: Wanted, pool: PoolView): readonly string[] {
  if (pool.enis.length === 0) {
    const why = want.wholeEni ? ": one is made for each pod, and the node's Events and condition SufficientIP say what keeps it" : ''
    return [`Node.status lists no ENI of this node yet${why}`]
  }
  const { families, binding } = want
  const bound = `Node.status binds no address to ${want.podId}, and the controller decides (foreign binding)`
  const apart = families.length > 1 && families.every(f => pool.counts[f].idle + pool.counts[f].cooling > 0)
  const taken = pool.enis.filter(e => leased(e) > 0).length
  const whole = want.wholeEni ? [`each pod takes a whole ENI: ${taken} of ${pool.enis.length} have theirs`] : []
  const first = binding === 'foreign' ? [bound] : apart ? ['no ENI has a free address of both families'] : []
  const counts = families.map(f => `IPv${f}: ${describe(pool.counts[f])}`)
  const unusable = pool.enis.filter(e => !e.usable).map(e => `ENI ${e.eniId} ${e.reason}`)
  const conditions = pool.enis.flatMap(e => e.conditions.map(c => `ENI ${e.eniId}: ${c}`))
  const lacking = pool.enis.filter(e => e.usable).flatMap(e => families.filter(f => subnetOf(e, f) === undefined).map(f => lacks(e, f)))
  return [...whole, ...first, ...counts, ...conditions, ...lacking, ...unusable]
}

function lacks(eni: PoolEni, family: Family): string {
  return `ENI ${eni.eniId}: its vSwitch has no IPv${family} CIDR block`
}

function describe(counts: Counts): string {
  const some = Object.entries(counts).filter(([, n]) => n > 0)
  if (some.length === 0) return 'no address on this node'
  const list = some.map(([state, n]) => `${n} ${state}`).join(', ')
  return counts.idle > 0 ? list : `no idle address (${list})`
}
