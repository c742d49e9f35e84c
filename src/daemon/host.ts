// SPDX-License-Identifier: Apache-2.0
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statfsSync,
  writeSync,
} from 'node:fs'
import { totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import type { Host } from '#daemon/deps.ts'

/** NSFS_MAGIC of linux/magic.h: what a bound namespace file lies on. */
const nsfs = 0x6e736673

/** The files of the machine that the process runs on. */
export const realHost: Host = {
  netns: path => {
    if (path === '') return 'absent'
    try {
      return statfsSync(path).type === nsfs ? 'live' : 'stale'
    } catch (e) {
      if (isMissing(e)) return 'absent'
      throw e
    }
  },
  list: directory => {
    try {
      return readdirSync(directory).map(name => join(directory, name))
    } catch (e) {
      if (isMissing(e)) return []
      throw e
    }
  },
  read: path => {
    try {
      return readFileSync(path, 'utf8')
    } catch (e) {
      if (isMissing(e)) return undefined
      throw e
    }
  },
  writeAtomically: (path, text) => {
    const next = `${path}.new`
    const fd = openSync(next, 'w', 0o600)
    try {
      writeSync(fd, text)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(next, path)
    syncDirectory(dirname(path))
  },
  ipv6: () => existsSync('/proc/sys/net/ipv6'),
  memory: () => ({ node: totalmem(), limit: Math.min(process.constrainedMemory() || Infinity, totalmem()) }),
}

/**
 * An identity of the present boot: the kernel's, and a mark in a directory that a reboot empties (tmpfs). The mark alone
 * tells a restarted node whose kernel is another's; the kernel's id alone tells a reboot where the directory is on disk.
 */
export function bootId(markPath: string, make: () => string): string {
  const kernel = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  const mark = realHost.read(markPath)?.trim() ?? ''
  if (mark !== '') return `${kernel}/${mark}`
  const fresh = make()
  mkdirSync(dirname(markPath), { recursive: true })
  realHost.writeAtomically(markPath, fresh)
  return `${kernel}/${fresh}`
}

function syncDirectory(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function isMissing(e: unknown): boolean {
  return e instanceof Error && 'code' in e && (e.code === 'ENOENT' || e.code === 'ENOTDIR')
}
