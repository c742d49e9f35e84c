// SPDX-License-Identifier: Apache-2.0
import { openSync, readFileSync, readSync } from 'node:fs'

/** Settings of no device: they live as long as their namespace. */
const lasting = /\/conf\/(all|default)\//
const longest = 64

/**
 * Reads files below /proc/sys, keeping those open that every look reads: opening and closing is most of what reading costs. A file stays
 * the one of the namespace in which it was opened, so one reader serves one namespace.
 */
export class KeptFiles {
  readonly #fds = new Map<string, number>()
  readonly #buffer = Buffer.alloc(longest)

  /** Throws what opening or reading throws. */
  read(path: string): string {
    if (!lasting.test(path)) return readFileSync(path, 'utf8')
    const fd = this.#fds.get(path) ?? openSync(path, 'r')
    this.#fds.set(path, fd)
    return this.#buffer.toString('utf8', 0, readSync(fd, this.#buffer, 0, longest, 0))
  }
}
