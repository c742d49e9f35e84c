// SPDX-License-Identifier: Apache-2.0
import type { Cloud, VSwitch } from '#cloud/port.ts'
import type { Clock } from '#lib/clock.ts'
import type { Family } from '#net/ip.ts'

export interface VSwitchCache {
  /** Those of the ids that exist; asks the cloud only for what is not cached. */
  get(ids: readonly string[]): Promise<readonly VSwitch[]>
  /** The cloud said that it has no address of this family left: counts as empty until its entry is read again. */
  block(id: string, family: Family): void
  /** Addresses were taken (positive) or given back (negative). */
  used(id: string, addresses: number): void
}

interface Entry {
  readonly vSwitch: VSwitch
  readonly until: number
}

/** Terway's defaults. */
export const defaultVSwitchCache = { size: 1000, ttl: 20 * 60_000 }

/** With few addresses left the count is read again this soon: others take them and give them back, and pods wait. Milliseconds. */
const lowTtl = 10_000
const low = 20

/** Least recently used goes first. Concurrent readers of one vSwitch share one call. */
export function makeVSwitchCache(cloud: Pick<Cloud, 'describeVSwitch'>, clock: Clock, options = defaultVSwitchCache): VSwitchCache {
  const entries = new Map<string, Entry>()
  const asking = new Map<string, Promise<VSwitch | undefined>>()

  const put = (vSwitch: VSwitch, until: number) => {
    entries.delete(vSwitch.id)
    entries.set(vSwitch.id, { vSwitch, until })
    const [oldest] = entries.keys()
    if (entries.size > options.size && oldest !== undefined) entries.delete(oldest)
  }

  const read = (id: string) => {
    const running = asking.get(id)
    if (running !== undefined) return running
    const call = cloud.describeVSwitch(id).then(vSwitch => {
      if (vSwitch !== undefined) put(vSwitch, expiry(vSwitch.availableIpCount, clock.now() + options.ttl))
      return vSwitch
    })
    asking.set(id, call)
    const done = () => asking.delete(id)
    call.then(done, done)
    return call
  }

  const one = async (id: string) => {
    const entry = entries.get(id)
    if (entry === undefined || clock.now() >= entry.until) return read(id)
    put(entry.vSwitch, entry.until)
    return entry.vSwitch
  }

  const expiry = (count: number, until: number) => (count > low ? until : Math.min(until, clock.now() + lowTtl))

  const change = (id: string, edit: (now: VSwitch) => VSwitch) => {
    const entry = entries.get(id)
    if (entry === undefined) return
    const vSwitch = edit(entry.vSwitch)
    entries.set(id, { vSwitch, until: expiry(vSwitch.ipv6Exhausted ? 0 : vSwitch.availableIpCount, entry.until) })
  }

  return {
    get: async ids => (await Promise.all(ids.map(one))).filter(v => v !== undefined),
    block: (id, family) => change(id, v => (family === 6 ? { ...v, ipv6Exhausted: true } : { ...v, availableIpCount: 0 })),
    used: (id, addresses) => change(id, v => ({ ...v, availableIpCount: Math.max(0, v.availableIpCount - addresses) })),
  }
}
