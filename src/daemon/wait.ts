// SPDX-License-Identifier: Apache-2.0
import type { Waiting } from '#daemon/state.ts'
import type { Clock } from '#lib/clock.ts'
import { cniError } from '#rpc/cni-error.ts'

/** One ADD in progress; `step` and `reason` are updated as it goes. */
export interface Ticket extends Disposable {
  at(step: string, reason: string): void
  /** Aborted, with an error as its reason, when the sandbox is deleted while its ADD still waits, or the daemon stops. */
  readonly abort: AbortSignal
}

/** The ADDs in progress: who asks why a pod waits reads here, and DEL ends a wait that nobody needs any more. */
export class WaitList {
  readonly #clock: Clock
  readonly #entries = new Map<object, { waiting: Waiting; readonly ifName: string; readonly abort: AbortController }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  enter(who: Pick<Waiting, 'namespace' | 'name' | 'containerId'> & { readonly ifName: string }): Ticket {
    const entry = {
      waiting: {
        namespace: who.namespace,
        name: who.name,
        containerId: who.containerId,
        step: 'queue',
        since: this.#clock.wall(),
        reason: '',
      },
      ifName: who.ifName,
      abort: new AbortController(),
    }
    this.#entries.set(entry, entry)
    return {
      at: (step, reason) => {
        entry.waiting = { ...entry.waiting, step, reason }
      },
      abort: entry.abort.signal,
      [Symbol.dispose]: () => void this.#entries.delete(entry),
    }
  }

  /** DEL of this interface: its ADD, if there is one, stops waiting. */
  cancel(containerId: string, ifName: string): void {
    for (const entry of this.#entries.values()) {
      if (entry.waiting.containerId === containerId && entry.ifName === ifName)
        entry.abort.abort(cniError('try-again', 'DEL of the sandbox came while its ADD waited'))
    }
  }

  cancelAll(): void {
    for (const entry of this.#entries.values()) entry.abort.abort(cniError('try-again', 'terwayd is stopping'))
  }

  all(): readonly Waiting[] {
    return [...this.#entries.values()].map(e => e.waiting)
  }
}
