// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { components, keyOf } from './components.ts'

/** Where everything lives that is built or downloaded once per machine: `$TERWAY_CACHE`, else `~/.cache/terway-ts`. */
export function cacheDir(): string {
  return process.env.TERWAY_CACHE || join(homedir(), '.cache', 'terway-ts')
}

/** The path of `binDir()`, whether or not `make setup` has filled it yet. It changes with every version and recipe in components.ts. */
export function binPath(): string {
  const key = createHash('sha256').update(components.map(keyOf).join(' ')).digest('hex').slice(0, 12)
  return join(cacheDir(), 'bin', key)
}

/**
 * The directory with kubectl, kube-apiserver, kubelet, etcd, containerd, ctr, helm, …: put it first in a child's PATH.
 * @throws Error when `make setup` has not been run for these versions.
 */
export function binDir(): string {
  const dir = binPath()
  if (!existsSync(dir)) throw new Error(`${dir} is not there: run 'make setup', which finds or builds Kubernetes, containerd and helm`)
  return dir
}

if (import.meta.main) console.log(binDir())
