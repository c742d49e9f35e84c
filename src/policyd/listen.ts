// SPDX-License-Identifier: Apache-2.0
import { type Clock, sleepUnlessAborted } from '#lib/clock.ts'
import type { Logger } from '#lib/log.ts'
import { type ListenAddress, type Route, type Routes, serveHttp } from '#rpc/http/serve.ts'

export interface Listening {
  readonly clock: Clock
  readonly log: Logger
  /** Milliseconds until an address that is taken is tried again. */
  readonly retry: number
  /** Hears the first time why nobody can be served. */
  failed(reason: unknown): void
}

/** Serves HTTP until the signal says so, and ends when nobody is served any more. An address that is taken, as by kube-proxy, is tried again. */
export async function serveUntil(
  signal: AbortSignal,
  address: ListenAddress,
  routes: Routes | Route,
  { clock, log, retry, failed }: Listening,
): Promise<void> {
  const over = new Promise<void>(done => signal.addEventListener('abort', () => done(), { once: true }))
  for (let tries = 0; !signal.aborted; tries++) {
    try {
      const server = await serveHttp(address, routes, log)
      await over
      return await server.close()
    } catch (e) {
      if (tries === 0) failed(e)
      await sleepUnlessAborted(clock, retry, signal)
    }
  }
}
