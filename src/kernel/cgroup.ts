// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { KernelError } from '#kernel/port.ts'

/** Where a container of ours has the node's own tree. */
const ofNode = '/host/cgroup'
/** Every cgroup tells its events, but for the root of the hierarchy. */
const notOfRoot = 'cgroup.events'

/**
 * The node's root of cgroup 2 as it is mounted here: alone, or beside the hierarchies of version 1. A container has a view of its own cgroup
 * mounted too, which is not the node's; and a node that is a container itself has no root of the whole hierarchy. Throws KernelError that says how to get one.
 */
export function findCgroupRoot(
  mounts: string = readFileSync('/proc/self/mounts', 'utf8'),
  isRoot: (directory: string) => boolean = directory => existsSync(directory) && !existsSync(join(directory, notOfRoot)),
): string {
  const mounted = directoriesOf(mounts)
  const root = mounted.find(d => d === ofNode || d.startsWith(`${ofNode}/`)) ?? mounted.find(isRoot)
  if (root !== undefined) return root
  const wayOut = "mount it (mount -t cgroup2 none <directory>), and in a container mount the host's /sys/fs/cgroup"
  throw new KernelError('kernel-refused', `the root of cgroup 2 is not mounted here: ${wayOut}`)
}

function directoriesOf(mounts: string): string[] {
  return mounts.split('\n').flatMap(line => {
    const [, directory = '', type] = line.split(' ')
    return type === 'cgroup2' ? [unescaped(directory)] : []
  })
}

/** White space and backslashes are written as three octal digits. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
