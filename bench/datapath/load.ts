// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { amount } from '../measure/machine.ts'
import { compiled } from '../node/runner.ts'
import type { Cell } from './cells.ts'
import type { Target } from './services.ts'
import { netnsFile } from './world.ts'

export const milliseconds = amount(400, 60)
const program = compiled('datapath/pingpong')
/** Processes of `sh` that a cgroup is told of become the program. */
const inCgroup = ['sh', '-c', 'echo 0 > "$0"/cgroup.procs && exec "$@"']

export interface Ends {
  readonly client: { readonly netns: string; readonly cgroup?: string | undefined }
  readonly server: { readonly netns: string } & Target
  /** What the client asks for: a Service that leads to the server, or the server itself. */
  readonly to: Target
}
export interface Result {
  readonly count: number
  readonly p50Us: number
  readonly gigabits: number
}
interface Options {
  readonly ms?: number
  /** The kernel counts the time of programs meanwhile. */
  readonly programs?: boolean
}

export function measure(load: Load, ends: Ends, options: Options = {}): Result {
  const [program = '', ...args] = commandOf(load, ends, options)
  return JSON.parse(execFileSync(program, args, { encoding: 'utf8', timeout: 20_000 }))
}

type Load = Pick<Cell, 'work' | 'cpus'>

/** What measures, and prints a `Result`. */
export function commandOf({ work, cpus }: Load, { client, server, to }: Ends, { ms = milliseconds, programs }: Options): readonly string[] {
  const args = [
    ...[work, netnsFile(server.netns), cpus === 1 ? 0 : 1, server.ip, server.port],
    ...[netnsFile(client.netns), 0, to.ip, to.port, ms],
    ...(programs ? ['programs'] : []),
  ].map(String)
  return [...(client.cgroup === undefined ? [] : [...inCgroup, client.cgroup]), program, ...args]
}
