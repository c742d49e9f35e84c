// SPDX-License-Identifier: Apache-2.0
import type { KubeCode } from '#kube/port.ts'
import type { Clock } from '#lib/clock.ts'

export type Verb = 'get' | 'list' | 'create' | 'replace' | 'patch' | 'delete' | 'watch'

/** One request on its way to the model. */
export interface Call {
  readonly client: string
  readonly verb: Verb
  readonly plural: string
  readonly name?: string
  readonly subresource?: 'status'
}

/** `lost`: the request is done but the answer is lost (`unavailable` for the caller). */
export type Fault = KubeCode | 'lost'

export interface Match {
  readonly client?: string
  readonly verb?: Verb
  readonly plural?: string
}

interface Planned {
  readonly fault: Fault
  readonly match: Match
  left: number
}

/** What goes wrong between the model and its clients. Nothing does unless asked. */
export class Faults {
  /** Milliseconds that each half of a request's way takes. */
  latency: () => number = () => 0
  /** Milliseconds between a change and its watch event. */
  watchDelay: () => number = () => 0
  /** Milliseconds until a cut watch connects again. */
  reconnectDelay: () => number
  /** Asked for each request; for a simulation that draws faults from its seed. */
  decide: (call: Call) => Fault | undefined = () => undefined

  private readonly down = new Set<string>()
  private readonly planned: Planned[] = []
  private readonly cut: (client: string | undefined, reason: string) => void
  private readonly forget: () => void

  constructor(clock: Clock, cut: (client: string | undefined, reason: string) => void, forget: () => void) {
    this.reconnectDelay = () => 1000 * (1 + clock.random())
    this.cut = cut
    this.forget = forget
  }

  /** The API server is away for one client, or for all: requests fail, watches are cut and stay so until `false`. */
  unavailable(away: boolean, client = '*'): void {
    if (!away) this.down.delete(client)
    else {
      this.down.add(client)
      this.cut(client === '*' ? undefined : client, 'the API server is away')
    }
  }

  isDown(client: string): boolean {
    return this.down.has('*') || this.down.has(client)
  }

  /** Cuts the watches of one client, or of all; they come back by themselves and miss nothing. */
  disconnect(client?: string): void {
    this.cut(client, 'connection reset')
  }

  /** Forgets history: a watch that was behind or cut gets 410 and lists again. */
  compact(): void {
    this.forget()
  }

  /** The next `count` requests that match fail with the code, or lose their answer. */
  failNext(fault: Fault, count = 1, match: Match = {}): void {
    this.planned.push({ fault, match, left: count })
  }

  faultFor(call: Call): Fault | undefined {
    if (this.isDown(call.client)) return 'unavailable'
    const i = this.planned.findIndex(p => matches(p.match, call))
    const planned = this.planned[i]
    if (planned === undefined) return this.decide(call)
    planned.left--
    if (planned.left === 0) this.planned.splice(i, 1)
    return planned.fault
  }
}

function matches(m: Match, call: Call): boolean {
  return (
    (m.client === undefined || m.client === call.client) &&
    (m.verb === undefined || m.verb === call.verb) &&
    (m.plural === undefined || m.plural === call.plural)
  )
}
