// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '#lib/clock.ts'

/** How long verbs under way may take, ms. The DaemonSet's grace period is 5 s. */
const patience = 3_000

/** What a running terwayd consists of, as far as its end is concerned. */
export interface Running {
  readonly exposed: { close(): Promise<void> }
  readonly daemon: { stop(): Promise<void> }
  readonly datapath: { close(): Promise<void> }
  readonly ledger: { close(): void }
}

/**
 * Stops accepting, waits for what is under way, then lets go of kernel and ledger. What takes too long keeps them until the
 * process exits and stays unanswered: without the kernel a DEL could answer that nothing routes to the address any more, and
 * it would not be so.
 */
export async function shutDown({ exposed, daemon, datapath, ledger }: Running, clock: Pick<Clock, 'sleep'>): Promise<void> {
  const answered = Promise.allSettled([exposed.close(), daemon.stop()]).then(() => true)
  if (!(await Promise.race([answered, clock.sleep(patience)]))) return
  await datapath.close()
  ledger.close()
}
