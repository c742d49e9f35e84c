// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { globSync, mkdirSync, rmdirSync } from 'node:fs'
import { basename, join } from 'node:path'

/**
 * A cgroup for each node: sockets of processes in it meet what the node attached to it, and nothing else of the machine does. Cgroups do not end with the
 * namespaces of a benchmark: those of one that was killed go with the next.
 */
export class NodeCgroups {
  readonly #own: string

  constructor(dir: string) {
    const root = join(dir, 'cgroup')
    mkdirSync(root)
    execFileSync('mount', ['-t', 'cgroup2', 'none', root])
    for (const left of [...globSync(`${root}/terway-bench-*/*/`), ...globSync(`${root}/terway-bench-*/`)]) removeUnused(left)
    this.#own = join(root, basename(dir))
    mkdirSync(this.#own)
  }

  make(node: string): string {
    const directory = join(this.#own, node)
    mkdirSync(directory)
    return directory
  }

  remove(): void {
    for (const directory of [...globSync(`${this.#own}/*/`), this.#own]) rmdirSync(directory)
  }
}

function removeUnused(directory: string): void {
  try {
    rmdirSync(directory)
  } catch (e) {
    if (!(e instanceof Error && 'code' in e && e.code === 'EBUSY')) throw e
  }
}
