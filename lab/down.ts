// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { must } from '../sim/fabric/run.ts'
import { hierarchies, killCgroup, processesIn, removeCgroup } from './cgroup.ts'
import { type Names, namesOf } from './names.ts'
import { type ProcessId, signal, until } from './process.ts'
import type { Progress } from './progress.ts'

/** What a lab has on this machine, by name alone. */
export interface Traces {
  readonly processes: readonly number[]
  readonly namespaces: readonly string[]
  readonly cgroups: readonly string[]
  /** Mount points of this machine's own mount namespace below the lab's directory. */
  readonly mounts: readonly string[]
  readonly directory: boolean
}

export function tracesOf(names: Names): Traces {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n')
  return {
    processes: processesIn(names.cgroup),
    namespaces: namespaces(names),
    cgroups: hierarchies()
      .map(h => `${h.mount}/${names.cgroup}`)
      .filter(existsSync),
    mounts: mounts.map(line => line.split(' ')[1] ?? '').filter(path => path.startsWith(`${names.dir}/`)),
    directory: existsSync(names.dir),
  }
}

/**
 * Removes everything of a lab. Asks nobody: whatever was killed before, processes are found by the record and by their
 * cgroup, the rest by name. Nodes keep their mounts in namespaces of their own, which end with their processes.
 */
export async function down(lab: string, progress: Progress): Promise<void> {
  const names = namesOf(lab)
  await progress.step('processes', async () => {
    for (const id of recorded(names)) signal(id, 'SIGKILL')
    await killCgroup(names.cgroup)
  })
  await progress.step('namespaces', async () => {
    for (const netns of namespaces(names)) await must(['ip', 'netns', 'del', netns])
  })
  await progress.step('cgroups and files', async () => {
    await removeCgroup(names.cgroup)
    for (const path of tracesOf(names).mounts.toReversed()) await must(['umount', '-l', path])
    await until(`${names.dir} is removed`, 120_000, () => {
      rmSync(names.dir, { recursive: true, force: true })
      return !existsSync(names.dir)
    })
  })
}

function recorded(names: Names): readonly ProcessId[] {
  if (!existsSync(names.processes)) return []
  return JSON.parse(readFileSync(names.processes, 'utf8')) as ProcessId[]
}

function namespaces(names: Names): readonly string[] {
  if (!existsSync('/run/netns')) return []
  return readdirSync('/run/netns').filter(n => n.startsWith(names.netnsPrefix))
}
