// SPDX-License-Identifier: Apache-2.0

import type { Datapath } from '#datapath/port.ts'
import type { Kernel } from '#kernel/port.ts'
import type { Clock } from '#lib/clock.ts'
import type { Logger } from '#lib/log.ts'

export interface DatapathDeps {
  readonly clock: Clock
  readonly log: Logger
}

export declare function makeDatapath(kernel: Kernel, deps: DatapathDeps): Datapath
