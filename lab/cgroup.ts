// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { identify, signal, until } from './process.ts'

/** A mounted cgroup hierarchy of this machine. */
export interface Hierarchy {
  readonly mount: string
  readonly version: 1 | 2
  /** Mount options that name it (version 1): `cpu`, `cpu,cpuacct`, `none,name=systemd`. */
  readonly options: string
}

const GENERIC = new Set(['rw', 'ro', 'relatime', 'nosuid', 'nodev', 'noexec', 'xattr', 'clone_children', 'seclabel'])

/** Parses /proc/mounts; pure. */
export function hierarchiesOf(mounts: string): readonly Hierarchy[] {
  return mounts.split('\n').flatMap((line): Hierarchy[] => {
    const [, mount = '', type = '', options = ''] = line.split(' ')
    if (type === 'cgroup2') return [{ mount, version: 2, options: '' }]
    if (type !== 'cgroup') return []
    const own = options.split(',').filter(o => !GENERIC.has(o) && !o.startsWith('release_agent='))
    return [{ mount, version: 1, options: own.some(o => o.startsWith('name=')) ? `none,${own.join(',')}` : own.join(',') }]
  })
}

export function hierarchies(): readonly Hierarchy[] {
  const found = hierarchiesOf(readFileSync('/proc/self/mounts', 'utf8')).filter(h => h.mount.startsWith('/sys/fs/cgroup'))
  if (found.length === 0) throw new Error('no cgroup hierarchy is mounted below /sys/fs/cgroup: mount cgroup2 there')
  return found
}

/**
 * Creates `<lab cgroup>/<part>` in every hierarchy. A version 1 cpuset starts empty and would accept no process, so it
 * takes its parent's CPUs and memory nodes. On a machine with version 2 only, controllers are passed down.
 */
export function createCgroup(cgroup: string, part: string): void {
  for (const h of hierarchies()) {
    for (const path of [join(h.mount, cgroup), join(h.mount, cgroup, part)]) {
      mkdirSync(path, { recursive: true })
      for (const file of ['cpuset.cpus', 'cpuset.mems']) inherit(h, path, file)
    }
    const onlyTwo = h.version === 2 && h.mount === '/sys/fs/cgroup'
    if (onlyTwo) for (const path of [h.mount, join(h.mount, cgroup)]) delegate(path)
  }
}

/** Shell lines by which the calling shell moves itself into a part's cgroup, everywhere. */
export function joinScript(cgroup: string, part: string): string {
  return hierarchies()
    .map(h => `echo $$ > ${join(h.mount, cgroup, part, 'cgroup.procs')}`)
    .join('\n')
}

/** All processes below the lab's cgroup (or one part of it), in any hierarchy. */
export function processesIn(cgroup: string): readonly number[] {
  const found = new Set<number>()
  for (const h of hierarchies()) {
    for (const dir of directoriesBelow(join(h.mount, cgroup))) {
      const members = unlessGone(() => readFileSync(join(dir, 'cgroup.procs'), 'utf8')) ?? ''
      for (const pid of members.split('\n')) if (pid !== '') found.add(Number(pid))
    }
  }
  return [...found]
}

/** Kills everything in the cgroup and waits until nothing is left. */
export async function killCgroup(cgroup: string): Promise<void> {
  await until(`processes of cgroup ${cgroup} end`, 120_000, () => {
    const left = processesIn(cgroup).flatMap(pid => identify(pid) ?? [])
    for (const id of left) signal(id, 'SIGKILL')
    return left.length === 0
  })
}

/** Removes the directory in every hierarchy, leaves first; the kernel may need a moment after the last process. */
export async function removeCgroup(cgroup: string): Promise<void> {
  for (const h of hierarchies()) {
    const top = join(h.mount, cgroup)
    await until(`cgroup ${top} goes away`, 120_000, () => {
      for (const dir of directoriesBelow(top).toReversed()) {
        try {
          rmdirSync(dir)
        } catch (e) {
          const code = (e as NodeJS.ErrnoException).code
          if (code !== 'EBUSY' && code !== 'ENOTEMPTY' && code !== 'ENOENT') throw e
        }
      }
      return !existsSync(top)
    })
  }
}

/** The directory and all below it, parents first. */
function directoriesBelow(dir: string): readonly string[] {
  const below = unlessGone(() => readdirSync(dir, { withFileTypes: true }).filter(e => e.isDirectory()))
  return below === undefined ? [] : [dir, ...below.flatMap(e => directoriesBelow(join(dir, e.name)))]
}

/** A container's cgroup may go while it is looked at: it is then ENOENT by name, or ENODEV when it was opened already. */
function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENODEV') return undefined
    throw e
  }
}

function inherit(h: Hierarchy, path: string, file: string): void {
  if (h.version !== 1 || !existsSync(join(path, file)) || readFileSync(join(path, file), 'utf8').trim() !== '') return
  writeFileSync(join(path, file), readFileSync(join(path, '..', file), 'utf8'))
}

function delegate(path: string): void {
  const wanted = readFileSync(join(path, 'cgroup.controllers'), 'utf8').trim().split(' ')
  writeFileSync(join(path, 'cgroup.subtree_control'), wanted.map(c => `+${c}`).join(' '))
}
