// SPDX-License-Identifier: Apache-2.0
import type { DatapathKind } from '#config/datapath-switch.ts'
import type { PodFlows } from '#daemon/pod-flows.ts'
import type { ProgramSample } from '#daemon/programs.ts'
import type { Family } from '#net/ip.ts'

export type Verb = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS'
/** The steps of CNI ADD, in order; `total` is the whole, waiting for an address included (in `lease`). */
export type AddPhase = 'parse' | 'pod' | 'lease' | 'ledger' | 'kernel' | 'total'

/** What the daemon tells about itself while it works. All callbacks are cheap and never throw; durations are milliseconds. */
export interface Observer {
  /** One verb answered; `code` is the CNI error code, 0 for success. */
  verb(verb: Verb, code: number, ms: number): void
  addPhase(phase: AddPhase, ms: number): void
  /** A lease was made on this ENI, or refused because the pool was dry (`eniId` empty). */
  leased(eniId: string, outcome: 'ok' | 'dry'): void
  /** An address was leased before its cooling was over because a pod waited and nothing else was idle. */
  coolingWaived(): void
  /** An address was given up at the controller's request: the answer is in the ledger, so no pod gets it any more. */
  disposed(family: Family): void
  /** One comparison of held leases with the kernel; `kinds` are the kinds of the operations that closed the difference. */
  repair(result: 'clean' | 'repaired' | 'failed', kinds: readonly string[]): void
  /** The node forwards this way from now on. */
  datapath(kind: DatapathKind): void
  /** What the programs have counted until now, and which pods have most flows. */
  programs(sample: ProgramSample, busiest: readonly PodFlows[]): void
}

export const noObserver: Observer = {
  verb: () => {},
  addPhase: () => {},
  leased: () => {},
  coolingWaived: () => {},
  disposed: () => {},
  repair: () => {},
  datapath: () => {},
  programs: () => {},
}
