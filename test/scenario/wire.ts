// SPDX-License-Identifier: Apache-2.0
import { setImmediate, setTimeout } from 'node:timers/promises'

/** One call as it went over the wire. `at`: virtual milliseconds. */
export interface Sent {
  readonly by: string
  readonly action: string
  readonly params: ReadonlyMap<string, string>
  readonly at: number
}

/** Real milliseconds that virtual time stands still for a call; one that takes longer waits for time itself to pass (a slow answer). */
const patience = 50

/** `fetch` over real sockets that records every call, and knows when none is on its way: virtual time stands still meanwhile. */
export class Wire {
  readonly sent: Sent[] = []
  now: () => number = () => 0
  /** Calls on their way that virtual time stands still for. */
  readonly #awaited = new Set<Sent>()

  /** The way of one process. */
  as(by: string): typeof fetch {
    return async (input, init) => {
      const params = new Map(new URL(String(input)).searchParams)
      const call: Sent = { by, action: params.get('Action') ?? '', params, at: this.now() }
      this.sent.push(call)
      this.#awaited.add(call)
      try {
        const reply = await fetch(input, init)
        // The body too, so that the caller has nothing left to wait for.
        const text = await reply.text()
        return new Response(text, { status: reply.status })
      } finally {
        this.#awaited.delete(call)
      }
    }
  }

  /** Resolves when no call is on its way but those that wait for time to pass. */
  readonly settled = async (): Promise<void> => {
    await setImmediate()
    const start = performance.now()
    while (this.#awaited.size > 0) {
      const waited = performance.now() - start
      if (waited > patience) this.#awaited.clear()
      else await (waited < 5 ? setImmediate() : setTimeout(1))
      // What an answer sets off.
      if (this.#awaited.size === 0) await setImmediate()
    }
  }

  of(action: string, since = 0): readonly Sent[] {
    return this.sent.filter(s => s.action === action && s.at >= since)
  }

  count(action: string, since = 0): number {
    return this.of(action, since).length
  }
}
