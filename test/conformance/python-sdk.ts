// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process'
import { access, mkdir, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

export const run = promisify(execFile)

/** The packages whose signature version is 1. A new version gets a new directory. */
const packages = ['aliyun-python-sdk-core==2.16.1', 'aliyun-python-sdk-ecs==4.24.83']

/**
 * A Python interpreter with the official SDK, from the cache (TERWAY_CACHE, else ~/.cache/terway-ts); installed there with
 * pip the first time. Undefined with the reason when this machine has no Python or no package index.
 */
export async function pythonWithSdk(): Promise<{ readonly python: string } | { readonly missing: string }> {
  const name = `sim-sdk-py-${packages.map(one => one.split('==')[1]).join('-')}`
  const home = join(process.env.TERWAY_CACHE ?? join(homedir(), '.cache', 'terway-ts'), name)
  const python = join(home, 'bin', 'python')
  try {
    await access(join(home, 'complete'))
    return { python }
  } catch {
    // not installed yet
  }
  try {
    await mkdir(dirname(home), { recursive: true })
    await rm(home, { recursive: true, force: true })
    await run('python3', ['-m', 'venv', home])
    await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages], { timeout: 180_000 })
    await mkdir(join(home, 'complete.next'))
    await rename(join(home, 'complete.next'), join(home, 'complete'))
    return { python }
  } catch (error) {
    return { missing: error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error) }
  }
}
