// SPDX-License-Identifier: Apache-2.0
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'

const common = {
  /** Name of an action, `*` for all, or `metadata` for the metadata service. */
  action: Type.Optional(Type.String({ minLength: 1 })),
  /** Only calls with these parameter values. */
  params: Type.Optional(Type.Record(Type.String(), Type.String())),
  /** How many calls it hits; unlimited when absent. */
  count: Type.Optional(Type.Integer({ minimum: 1 })),
  /** Of the matching calls, how many it hits (0..1]; 1 when absent. Decided by `seed`. */
  probability: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1 })),
  seed: Type.Optional(Type.Integer()),
}
const closed = { additionalProperties: false }

export const faultSchema = Type.Union([
  /** Refused by flow control, before any effect. */
  Type.Object({ ...common, kind: Type.Literal('throttle') }, closed),
  /** An error of your choice (InternalError, 500, when absent), before or after the call took effect. */
  Type.Object(
    {
      ...common,
      kind: Type.Literal('error'),
      code: Type.Optional(Type.String({ minLength: 1 })),
      status: Type.Optional(Type.Integer({ minimum: 400, maximum: 599 })),
      when: Type.Optional(Type.Union([Type.Literal('before'), Type.Literal('after')])),
    },
    closed,
  ),
  /** The call takes effect, then the connection closes without a reply. */
  Type.Object({ ...common, kind: Type.Literal('lost-reply') }, closed),
  /** The call takes effect, the reply comes later. */
  Type.Object({ ...common, kind: Type.Literal('slow'), ms: Type.Number({ minimum: 0 }) }, closed),
  /** The transition that the call starts does not end until the fault is cleared. */
  Type.Object({ ...common, kind: Type.Literal('stuck') }, closed),
  /** The attachment that the call starts fails: the ENI is Available again after its time. */
  Type.Object({ ...common, kind: Type.Literal('attach-fails') }, closed),
  /** The metadata service answers 503, or closes the connection. */
  Type.Object({ ...common, kind: Type.Literal('metadata-outage'), close: Type.Optional(Type.Boolean()) }, closed),
  /** The server's clock is wrong by so many milliseconds. */
  Type.Object({ ...common, kind: Type.Literal('clock-skew'), ms: Type.Number() }, closed),
])

export type FaultSpec = Static<typeof faultSchema>
export type ActiveFault = FaultSpec & { readonly id: string; readonly hits: number }

const compiled = Compile(faultSchema)

/** Checks a fault given as a value; throws with the reason. */
export function parseFault(value: unknown): FaultSpec {
  if (compiled.Check(value)) return value
  const kinds = faultSchema.anyOf.map(one => one.properties.kind.const)
  throw new Error(`${JSON.stringify(value)} is no fault: "kind" is one of ${kinds.join(', ')}; fields are described in sim/fault.ts`)
}

interface Rule {
  readonly id: string
  readonly spec: FaultSpec
  readonly random: () => number
  hits: number
}

/** The faults in force. They live in memory: a restart of the simulator ends them. */
export class Faults {
  readonly #rules = new Map<string, Rule>()
  #next = 1

  add(spec: FaultSpec): string {
    const id = `f${this.#next++}`
    this.#rules.set(id, { id, spec, random: generator(spec.seed ?? 1), hits: 0 })
    return id
  }

  /** Ends one fault, or all; returns those ended. */
  clear(id?: string): FaultSpec[] {
    const ended = [...this.#rules.values()].filter(rule => id === undefined || rule.id === id)
    for (const rule of ended) this.#rules.delete(rule.id)
    return ended.map(rule => rule.spec)
  }

  list(): ActiveFault[] {
    return [...this.#rules.values()].map(({ id, spec, hits }) => ({ ...spec, id, hits }))
  }

  /** The faults that hit this call; counts and draws are used up by asking. */
  hit(action: string, param: (name: string) => string | undefined): FaultSpec[] {
    const struck = [...this.#rules.values()].filter(rule => rule.spec.kind !== 'clock-skew' && matches(rule, action, param))
    for (const rule of struck) rule.hits++
    return struck.map(rule => rule.spec)
  }

  /** Milliseconds that the server's clock is ahead. */
  get skew(): number {
    return [...this.#rules.values()].reduce((sum, { spec }) => sum + (spec.kind === 'clock-skew' ? spec.ms : 0), 0)
  }
}

function matches(rule: Rule, action: string, param: (name: string) => string | undefined): boolean {
  const { spec } = rule
  const wanted = spec.kind === 'metadata-outage' ? 'metadata' : (spec.action ?? '*')
  if (wanted !== action && !(wanted === '*' && action !== 'metadata')) return false
  if (spec.count !== undefined && rule.hits >= spec.count) return false
  if (Object.entries(spec.params ?? {}).some(([name, value]) => param(name) !== value)) return false
  return spec.probability === undefined || rule.random() < spec.probability
}

/** mulberry32: small, seeded, good enough to draw faults. */
export function generator(seed: number): () => number {
  let a = seed >>> 0
  return () => {
    a = (a + 0x6d2b79f5) >>> 0
    let t = Math.imul(a ^ (a >>> 15), a | 1)
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
