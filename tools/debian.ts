// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDir } from './bin.ts'

/** Debian packages beside the system's own: downloaded from the machine's own apt sources into the cache, never installed. */

const keyOf = (packages: readonly string[]) => createHash('sha256').update(packages.join(' ')).digest('hex').slice(0, 12)
const placeOf = (packages: readonly string[]) => join(cacheDir(), 'debian', keyOf(packages))

/** The .deb files, sorted by name. */
export function downloaded(packages: readonly string[]): string[] {
  const directory = placeOf(packages)
  place(directory, staging => {
    const fetchAll = () => execFileSync('apt-get', ['download', '-q', ...packages], { cwd: staging, stdio: ['ignore', 'ignore', 'pipe'] })
    try {
      fetchAll()
    } catch {
      execFileSync('apt-get', ['update', '-q'], { stdio: ['ignore', 'ignore', 'inherit'] })
      fetchAll()
    }
  })
  return readdirSync(directory)
    .sort()
    .map(name => join(directory, name))
}

/** A directory with the contents of all packages, as they would lie under /. */
export function unpacked(packages: readonly string[]): string {
  const directory = `${placeOf(packages)}-root`
  place(directory, staging => {
    for (const archive of downloaded(packages)) execFileSync('dpkg-deb', ['-x', archive, staging])
  })
  return directory
}

/** Fills a directory of the cache that is not there yet; it appears whole or not at all, also when two fill it at once. */
export function place(directory: string, fill: (staging: string) => void): void {
  if (existsSync(directory)) return
  mkdirSync(join(directory, '..'), { recursive: true })
  const staging = mkdtempSync(`${directory}.`)
  try {
    fill(staging)
    renameSync(staging, directory)
  } catch (e) {
    rmSync(staging, { recursive: true, force: true })
    // The other one was faster: the same is there.
    if (!existsSync(directory)) throw e
  }
}
