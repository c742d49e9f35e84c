// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A BPF file system of a test's own. Dispose of it after the node whose daemon has it open. */
export function bpfFileSystem(): Disposable & { readonly directory: string } {
  const directory = mkdtempSync(join(tmpdir(), 'terway-bpf-'))
  execFileSync('mount', ['-t', 'bpf', 'bpf', directory])
  return {
    directory,
    [Symbol.dispose]: () => {
      execFileSync('umount', ['-l', directory])
      rmdirSync(directory)
    },
  }
}
