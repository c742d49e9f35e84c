// SPDX-License-Identifier: Apache-2.0
import type { Context } from '#daemon/context.ts'
import { tellNode } from '#daemon/node-event.ts'
import { isAppError, messageOf } from '#lib/errors.ts'

type Told = Pick<Context, 'facts' | 'log' | 'kube' | 'cluster' | 'options'>

/** Tells people of a configuration that is not taken: one Event on the node and one line of the log for each new text. */
export class Complaint {
  readonly #ctx: Told
  /** The name in the daemon's trace, and what is not taken. */
  readonly #subject: string
  #told = ''

  constructor(ctx: Told, subject: string) {
    this.#ctx = ctx
    this.#subject = subject
  }

  /** `instead`: what is in force now. */
  tell(e: unknown, instead: string): void {
    const { facts, log } = this.#ctx
    const text = messageOf(e)
    facts.trace.set(this.#subject, text)
    if (text === this.#told) return
    this.#told = text
    log.error({ err: e }, `the ${this.#subject} is not taken, ${instead}: ${text}`)
    const reason = isAppError(e) && e.code === 'bad-json' ? 'ParseFailed' : 'ConfigError'
    tellNode(this.#ctx, { type: 'Warning', reason, message: text, action: 'Config' })
  }

  /** The configuration is in force: the next error is told even if it is the same. */
  settled(): void {
    this.#ctx.facts.trace.set(this.#subject, 'good')
    this.#told = ''
  }
}
