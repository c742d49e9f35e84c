// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bpfFileSystem as magic } from '#kernel/bpf/pins.ts'

/** A BPF file system at `directory`, which is made. */
export function mountBpf(directory: string): void {
  mkdirSync(directory, { recursive: true })
  execFileSync('mount', ['-t', 'bpf', 'bpf', directory])
}

/** Also while a process has it open. Nothing where there is none. */
export function unmountBpf(directory: string): void {
  if (existsSync(directory) && statfsSync(directory).type === magic) execFileSync('umount', ['-l', directory])
}

/** A BPF file system of a test's own. Dispose of it after the node whose daemon has it open. */
export function bpfFileSystem(): Disposable & { readonly directory: string } {
  const directory = mkdtempSync(join(tmpdir(), 'terway-bpf-'))
  mountBpf(directory)
  return {
    directory,
    [Symbol.dispose]: () => {
      unmountBpf(directory)
      rmdirSync(directory)
    },
  }
}
