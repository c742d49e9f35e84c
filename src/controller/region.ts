// SPDX-License-Identifier: Apache-2.0
import type { Metadata } from '#cloud/metadata.ts'
import type { Clock } from '#lib/clock.ts'
import { AppError, messageOf } from '#lib/errors.ts'
import type { Logger } from '#lib/log.ts'

/** Milliseconds between two rounds of asking. */
const retry = 5_000

/**
 * The region of the configuration, or else of the machine: the metadata service is asked until it answers. Throws `bad-config`
 * when it answers that there is none.
 */
export async function regionOf(configured: string, metadata: Metadata, clock: Clock, log: Logger): Promise<string> {
  if (configured !== '') return configured
  for (;;) {
    try {
      const region = await metadata.get('region-id')
      if (region !== undefined) return region
    } catch (e) {
      log.warn(
        { err: messageOf(e) },
        'ctrl-config.yaml: regionID is empty and the metadata service does not answer: waiting for it; or set regionID',
      )
      await clock.sleep(retry)
      continue
    }
    throw new AppError('bad-config', 'ctrl-config.yaml: regionID is empty and the metadata service has none: set regionID')
  }
}
