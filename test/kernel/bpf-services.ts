// SPDX-License-Identifier: Apache-2.0
import type { Fields, Struct, Values } from '#kernel/bpf/layout.ts'
import { type MapName, maps } from '#kernel/bpf/maps.ts'
import { backendState, serviceScope } from '#kernel/bpf/words.ts'
import type { MapPut } from '#kernel/op.ts'
import { parseIp } from '#net/ip.ts'

type KeyOf<N extends MapName> = (typeof maps)[N]['key'] extends Struct<infer F> ? Partial<Values<F>> : never
type ValueOf<N extends MapName> = (typeof maps)[N]['value'] extends Struct<infer F> ? Partial<Values<F>> : never

/** One entry, by its fields. */
export function entryOp<N extends MapName>(map: N, key: KeyOf<N>, value: ValueOf<N>): MapPut {
  // The map ties its key and value to their layouts, which the compiler cannot follow.
  const spec: { readonly key: Struct<Fields>; readonly value: Struct<Fields> } = maps[map]
  const hex = (layout: Struct<Fields>, fields: object) => layout.encode(fields).toString('hex')
  return { op: 'map-put', ns: 'host', map, key: hex(spec.key, key), value: hex(spec.value, value) }
}

export const protocols = { tcp: 6, udp: 17 } as const

/** A Service as the maps have it: one set of backends for all its frontends, of one family and protocol. */
export interface TestService {
  /** Its number: of its set, its first frontend, and, times ten, of its first backend. */
  readonly number: number
  readonly protocol: number
  readonly frontends: readonly { readonly ip: string; readonly port: number }[]
  readonly backends: readonly { readonly ip: string; readonly port: number }[]
  readonly affinitySeconds?: number
}

export function serviceOps({ number: set, protocol, frontends, backends, affinitySeconds = 0 }: TestService): MapPut[] {
  return [
    ...backends.map(({ ip, port }, i) =>
      entryOp('backends', { backend: 10 * set + i }, { ip: parseIp(ip), port, protocol, state: backendState.active }),
    ),
    ...setOps(
      set,
      backends.map((_, i) => i),
    ),
    ...frontends.flatMap(({ ip, port }, i) => [
      entryOp('frontends', { frontend: set + i }, { ip: parseIp(ip), port, protocol }),
      entryOp('services', { ip: parseIp(ip), port, protocol, scope: serviceScope.inside }, { set, frontend: set + i, affinitySeconds }),
    ]),
  ]
}

/** The backends of a set that take connections, by their places in the Service. */
export function setOps(set: number, active: readonly number[]): MapPut[] {
  return [
    ...active.map((i, slot) => entryOp('backend_slots', { set, slot }, { backend: 10 * set + i })),
    entryOp('backend_sets', { set }, { count: active.length }),
  ]
}
