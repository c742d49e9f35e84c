// SPDX-License-Identifier: Apache-2.0
import type { CliDeps } from '#cli/deps.ts'
import { begin, end } from '#cli/look-on.ts'
import { nameOf } from '#cli/node-view.ts'
import type { Event } from '#kernel/bpf/ring.ts'
import { dropReasons, hook, path } from '#kernel/bpf/words.ts'
import type { Kernel } from '#kernel/port.ts'
import { isAppError } from '#lib/errors.ts'
import type { Ip } from '#net/ip.ts'

/** What the programs told of an attempt's own packets. */
export interface Seen {
  /** Which program had them. */
  readonly hook: string
  readonly verdict: 'passed' | 'dropped'
  /** Which way they went, or why they were dropped. */
  readonly what: string
  /** They came to the pod. */
  readonly answers: boolean
  readonly packets: number
}

/** Milliseconds between two looks. */
const look = 50

/** Runs `fn` while the programs tell of every packet, and gives what they told of this address; undefined where nobody tells, or no place is free to listen. */
export async function watched<T>(
  deps: CliDeps,
  kernel: Kernel,
  address: Ip,
  fn: () => Promise<T>,
): Promise<{ readonly result: T; readonly events?: readonly Event[] }> {
  const at = await begin(kernel, 1).catch((e: unknown) => {
    if (isAppError(e) && ['no-programs', 'monitor-busy'].includes(e.code)) return undefined
    throw e
  })
  if (at === undefined) return { result: await fn() }
  const source = await deps.events()
  const events: Event[] = []
  const read = () => void events.push(...source.read().events.filter(e => e.source === address || e.destination === address))
  const timer = setInterval(read, look)
  try {
    const result = await fn()
    read()
    return { result, events }
  } finally {
    clearInterval(timer)
    source.close()
    await end(kernel, at)
  }
}

/** Of one conversation of the pod, in the order in which each kind came first. */
export function seenIn(events: readonly Event[], address: Ip, localPort: number, protocols: readonly number[]): readonly Seen[] {
  const found = new Map<string, Seen>()
  for (const e of events) {
    const sent = e.source === address && e.sourcePort === localPort
    const came = e.destination === address && e.destinationPort === localPort
    if (!(sent || came) || !protocols.includes(e.protocol) || e.hook === hook.socket) continue
    const one = {
      ...{ hook: nameOf(hook, e.hook), answers: !sent },
      ...(e.reason === 0
        ? { verdict: 'passed' as const, what: nameOf(path, e.path) }
        : { verdict: 'dropped' as const, what: nameOf(dropReasons, e.reason) }),
    }
    const key = Object.values(one).join()
    found.set(key, { ...one, packets: 1 + (found.get(key)?.packets ?? 0) })
  }
  return [...found.values()]
}
