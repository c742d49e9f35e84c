// SPDX-License-Identifier: Apache-2.0
import { setImmediate, setTimeout } from 'node:timers/promises'

/** One call as it went over the wire. `at`: virtual milliseconds. */
export interface Sent {
  readonly action: string
  readonly params: ReadonlyMap<string, string>
  readonly at: number
}

/** How long (real ms) virtual time stands still for a call: one that waits for time to pass (a slow answer) would wait for ever. */
const patience = 100

/**
 * A `fetch` over real sockets that records every call, and knows when none is on its way: virtual time stands still meanwhile.
 */
export class Wire {
  readonly sent: Sent[] = []
  now: () => number = () => 0
  #underway = 0

  readonly fetch: typeof fetch = async (input, init) => {
    const params = new Map(new URL(String(input)).searchParams)
    this.sent.push({ action: params.get('Action') ?? '', params, at: this.now() })
    this.#underway++
    try {
      const reply = await fetch(input, init)
      // The body too, so that the caller has nothing left to wait for.
      const text = await reply.text()
      return new Response(text, { status: reply.status })
    } finally {
      this.#underway--
    }
  }

  /** Resolves when no call is on its way, or all of them wait for time to pass. */
  readonly settled = async (): Promise<void> => {
    await setImmediate()
    const end = performance.now() + patience
    while (this.#underway > 0 && performance.now() < end) {
      await (performance.now() < end - patience + 5 ? setImmediate() : setTimeout(1))
      // What the answer sets off.
      if (this.#underway === 0) await setImmediate()
    }
  }

  count(action: string, since = 0): number {
    return this.of(action, since).length
  }

  of(action: string, since = 0): readonly Sent[] {
    return this.sent.filter(s => s.action === action && s.at >= since)
  }
}
