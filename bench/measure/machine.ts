// SPDX-License-Identifier: Apache-2.0
import { cpus, loadavg, release, totalmem } from 'node:os'

/** What the figures were measured on. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly kernel: string
  readonly node: string
  /** Load average of the minute before the benchmark began: above 1 somebody else was at work. */
  readonly loadBefore: number
  /** A short run (QUICK=1) shows that the benchmark works; its figures are not published. */
  readonly quick: boolean
}

export const quick = (process.env.QUICK ?? '') !== '' && process.env.QUICK !== '0'

/** The longer or the shorter of two amounts of work. */
export function amount(full: number, short: number): number {
  return quick ? short : full
}

const machine: Machine = {
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  kernel: release(),
  node: process.version,
  loadBefore: Number(process.env.TERWAY_BENCH_LOAD ?? loadavg()[0]?.toFixed(2) ?? 0),
  quick,
}

export function thisMachine(): Machine {
  return machine
}
