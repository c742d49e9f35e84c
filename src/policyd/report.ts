// SPDX-License-Identifier: Apache-2.0
import { KernelError } from '#kernel/port.ts'
import type { Clock } from '#lib/clock.ts'
import { messageOf } from '#lib/errors.ts'
import type { Logger } from '#lib/log.ts'
import type { PolicyMetrics } from '#lib/metrics.ts'
import type { SyncReport } from '#sync/report.ts'

/** Milliseconds in which a log says so much of one thing; metrics count the rest. */
const quiet = 10_000
const lines = 5

/** Sync's work as metrics and lines of the log. `written` hears the wall-clock time of each write. */
export function syncReport(clock: Clock, log: Logger, metrics: PolicyMetrics, written: (wall: number) => void): SyncReport {
  const said = new Map<string, { since: number; count: number }>()
  const maySay = (what: string) => {
    const now = clock.now()
    const known = said.get(what)
    const present = known !== undefined && now - known.since < quiet ? known : { since: now, count: 0 }
    said.set(what, present)
    return present.count++ < lines
  }
  return {
    written: (entries, latency) => {
      metrics.written.inc(entries)
      metrics.sync.observe(latency / 1000)
      written(clock.wall())
      log.debug({ entries, latency }, 'maps written')
    },
    refused: (map, err) => {
      metrics.mapErrors.inc({ map, errno: err instanceof KernelError ? err.errno : '' })
      if (maySay(`refused ${map}`)) log.warn({ map, err: messageOf(err) }, 'an entry was refused; it is tried again')
    },
    damaged: (map, key, damage) => {
      metrics.repairs.inc({ map, damage })
      if (maySay(`damaged ${map}`)) log.warn({ map, key, damage }, 'an entry of a map was not as it was written; it is put right')
    },
    failed: err => {
      if (maySay('failed')) log.warn({ err: messageOf(err) }, 'the maps cannot be looked at')
    },
    renewed: () => {
      metrics.renewals.inc()
      log.info('the maps are new: everything is written again')
    },
  }
}
