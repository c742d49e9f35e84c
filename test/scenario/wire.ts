// SPDX-License-Identifier: Apache-2.0
import { setImmediate, setTimeout } from 'node:timers/promises'

/** One call as it went over the wire. `at`: virtual milliseconds. */
export interface Sent {
  readonly by: string
  readonly action: string
  readonly params: ReadonlyMap<string, string>
  readonly at: number
}

/** Real milliseconds after which a call without answer is a fault of the test. */
const patience = 120_000

/** `fetch` over real sockets that records every call, and knows when none is on its way: virtual time stands still meanwhile. */
export class Wire {
  readonly sent: Sent[] = []
  now: () => number = () => 0
  /** For an action that will be answered late: tells when its call has arrived, and waits for time to pass. */
  slow: (action: string) => (() => boolean) | undefined = () => undefined
  /** Calls on their way that virtual time stands still for, and when it need not any more. */
  readonly #awaited = new Map<Sent, () => boolean>()

  /** The way of one process. */
  as(by: string): typeof fetch {
    return async (input, init) => {
      const params = new Map(new URL(String(input)).searchParams)
      const call: Sent = { by, action: params.get('Action') ?? '', params, at: this.now() }
      this.sent.push(call)
      this.#awaited.set(call, this.slow(call.action) ?? (() => false))
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
      if (waited > patience) throw new Error(`no answer to ${[...this.#awaited.keys()].map(c => c.action).join(', ')}`)
      await (waited < 5 ? setImmediate() : setTimeout(1))
      for (const [call, arrived] of this.#awaited) if (arrived()) this.#awaited.delete(call)
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
