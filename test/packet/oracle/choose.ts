// SPDX-License-Identifier: Apache-2.0
import { affinitySlot, backendState, dropReasons, flowWay, serviceFlag, serviceScope } from '#kernel/bpf/words.ts'
import type { Ip } from '#net/ip.ts'
import type { RowValue } from '../world.ts'
import type { Draft } from './draft.ts'
import { isOlder } from './flow.ts'
import type { FlowKey } from './policy.ts'
import { isPorted, protocols } from './read.ts'
import type { Step } from './step.ts'

export type Service = RowValue<'services'>
export type Backend = RowValue<'backends'> & { readonly id: number; readonly ip: Ip }

/** How many slots are looked at, beginning with the one that chance or the client names. */
const tries = 4

export function serviceAt(
  draft: Draft,
  at: { readonly ip: Ip; readonly port: number; readonly protocol: number },
  scope: keyof typeof serviceScope,
): Service | undefined {
  return isPorted(at.protocol) ? draft.get('services', { ...at, scope: serviceScope[scope] }) : undefined
}

export function mayCome(draft: Draft, { flags, frontend }: Service, client: Ip): boolean {
  return (flags & serviceFlag.sourceRanges) === 0 || draft.longest('source_ranges', { frontend, ip: client }) !== undefined
}

export function backendOf(draft: Draft, id: number): Backend | undefined {
  const row = draft.get('backends', { backend: id })
  return row?.ip === undefined ? undefined : { ...row, ip: row.ip, id }
}

/** For what has been chosen: a connection stays until it ends, anything else leaves a backend that drains. */
export function isUsable(backend: Backend | undefined, protocol: number): backend is Backend {
  if (backend?.state === backendState.active) return true
  return backend?.state === backendState.draining && protocol === protocols.tcp
}

/** Whoever may be chosen; undefined among them: nobody. */
export interface Candidates {
  /** The backend that the client stays with. */
  readonly kept?: Backend
  readonly any: readonly (Backend | undefined)[]
}

export function candidates(draft: Draft, now: number, service: Service, client: Ip): Candidates {
  const { set, affinitySeconds } = service
  const { count } = draft.get('backend_sets', { set }) ?? { count: 0 }
  if (count === 0) return { any: [undefined] }
  const any = [...new Map(Array.from({ length: count }, (_, start) => from(draft, set, count, start)).map(b => [b?.id, b])).values()]
  const affinity = affinitySeconds === 0 ? undefined : draft.get('affinities', { client, set })
  if (affinity === undefined || isOlder(now, affinity.seen, affinitySeconds)) return { any }
  const isOfSet = draft.get('backend_slots', { set, slot: (affinitySlot | affinity.backend) >>> 0 }) !== undefined
  const kept = isOfSet ? backendOf(draft, affinity.backend) : undefined
  return kept?.state === backendState.active ? { kept, any } : { any }
}

function from(draft: Draft, set: number, count: number, start: number): Backend | undefined {
  for (let n = 0; n < tries; n++) {
    const id = draft.get('backend_slots', { set, slot: (start + n) % count })?.backend
    const backend = id === undefined ? undefined : backendOf(draft, id)
    if (backend?.state === backendState.active) return backend
  }
  return undefined
}

export function keepAffinity(draft: Draft, now: number, { set, affinitySeconds }: Service, client: Ip, backend: Backend): void {
  if (affinitySeconds > 0) draft.put('affinities', { client, set }, { backend: backend.id, seen: now })
}

/** Somebody, or why nobody. */
export type Chosen = Backend | 'service-without-backend' | 'service-collision'

/** What chance chose for a client whose packet is to be seen in `own`: again when `isTaken`, by a flow that is in use. */
export function choose(step: Step, client: Ip, own: FlowKey, service: Service, isTaken: (backend: Backend) => boolean): Chosen {
  const { draft, now } = step
  const { kept, any } = candidates(draft, now, service, client)
  const all = kept === undefined ? any : [kept, ...(isTaken(kept) ? any : [])]
  const taken = all.filter(backend => backend !== undefined && isTaken(backend))
  const free = all.filter(backend => !taken.includes(backend)).map((backend): Chosen => backend ?? 'service-without-backend')
  const [first, ...rest] = [...free, ...(taken.length > 0 ? (['service-collision'] as const) : [])]
  if (first === undefined) throw new Error('somebody or nobody is chosen')
  const chosen = step.pick([first, ...rest], (option, { reason, row }) => {
    const refused = reason === dropReasons['service-without-backend'] || reason === dropReasons['service-collision']
    // Whoever had been chosen before may still be there, too old to count.
    if (typeof option === 'string' || refused) return typeof option === 'string' && reason === dropReasons[option]
    const entry = row('new_flows', own) ?? row('flows', own)
    return entry?.way === flowWay.service && entry.backend === option.id
  })
  const stays = chosen === 'service-collision' ? triedLast(step, client, service, taken) : chosen
  if (typeof stays === 'object') keepAffinity(draft, now, service, client, stays)
  return chosen
}

/** Whoever was tried last may be whom the client stays with. */
function triedLast(step: Step, client: Ip, { set }: Service, taken: readonly (Backend | undefined)[]): Backend | undefined {
  return step.pick([undefined, ...taken], (option, { row }) => {
    const affinity = row('affinities', { client, set })
    return option !== undefined && affinity?.backend === option.id && affinity.seen === step.now
  })
}
