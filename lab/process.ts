// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** A process that cannot be mistaken for a later one with the same number: pid and start time (clock ticks since boot). */
export interface ProcessId {
  readonly pid: number
  readonly started: number
}

/** The identity of a running process, or undefined when there is none. */
export function identify(pid: number): ProcessId | undefined {
  const stat = readProc(`/proc/${pid}/stat`)
  if (stat === undefined) return undefined
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined
  return { pid, started: Number(fields[19]) }
}

export function isAlive(id: ProcessId): boolean {
  return identify(id.pid)?.started === id.started
}

/** The only child of a process: what `nsenter --pid` or `unshare --fork` runs. */
export function childOf(pid: number): number | undefined {
  const children = readProc(`/proc/${pid}/task/${pid}/children`)?.trim().split(' ') ?? []
  return children[0] === undefined || children[0] === '' ? undefined : Number(children[0])
}

/** A process's command line; empty for a kernel thread, a zombie, or none. */
export function argvOf(pid: number): readonly string[] {
  return (readProc(`/proc/${pid}/cmdline`) ?? '').split('\0').slice(0, -1)
}

/** Sends a signal if that very process still runs. */
export function signal(id: ProcessId, name: NodeJS.Signals): void {
  if (!isAlive(id)) return
  try {
    process.kill(id.pid, name)
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'ESRCH') throw e
  }
}

/** Polls until `done` answers something other than undefined or false; throws when `ms` are over. */
export async function until<T>(
  what: string,
  ms: number,
  done: () => T | undefined | false | Promise<T | undefined | false>,
  every = 20,
): Promise<T> {
  const deadline = Date.now() + ms
  for (;;) {
    const answer = await done()
    if (answer !== undefined && answer !== false) return answer
    if (Date.now() > deadline) throw new Error(`${what}: not within ${ms} ms`)
    await sleep(every)
  }
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
