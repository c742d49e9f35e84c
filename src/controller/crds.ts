// SPDX-License-Identifier: Apache-2.0
import type { Definition } from '#kube/crd/definition.ts'
import { installCrds } from '#kube/install-crds.ts'
import type { Kube } from '#kube/port.ts'
import type { Clock } from '#lib/clock.ts'
import { isAppError, messageOf } from '#lib/errors.ts'
import type { Logger } from '#lib/log.ts'

/** Milliseconds between two tries. */
const retry = 5_000

/** Installs the CRDs. An API server that cannot be reached is waited for: a restart would do nothing else. */
export async function crdsInstalled(kube: Kube, clock: Clock, definitions: readonly Definition[], log: Logger): Promise<void> {
  for (;;) {
    try {
      await installCrds(kube, clock, definitions)
      return
    } catch (e) {
      if (!isAppError(e) || (e.code !== 'unavailable' && e.code !== 'throttled')) throw e
      log.warn({ err: messageOf(e) }, `CRDs cannot be installed, again in ${retry / 1000} s`)
      await clock.sleep(retry)
    }
  }
}
