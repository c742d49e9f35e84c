// SPDX-License-Identifier: Apache-2.0
import {
  appendFileSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Change } from './model/state.ts'

/** One operation, or, in the snapshot, the whole state. `seq` counts operations since the beginning. */
export interface Entry {
  readonly seq: number
  readonly at: number
  readonly seed: string
  readonly changes: readonly Change[]
}

/** Operations between two snapshots. */
const compactEvery = 5000

/**
 * The state on disk: `snapshot.json` (replaced by rename) and `journal.ndjson`, one line per operation after it. A crash can
 * only tear the last line, which is then cut off; a crash between snapshot and emptied journal leaves lines whose `seq` the
 * snapshot covers, which are skipped. Files are 0600: they hold the secrets of the seed's keys.
 */
export class Journal {
  readonly #snapshot: string
  readonly #path: string
  readonly #seed: string
  #seq = 0
  #lines = 0

  constructor(dir: string, seed: string) {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    this.#snapshot = join(dir, 'snapshot.json')
    this.#path = join(dir, 'journal.ndjson')
    this.#seed = seed
  }

  /** What was written, oldest first; empty for a new directory. Throws when it belongs to another seed. */
  load(): Entry[] {
    const snapshot = readIfThere(this.#snapshot)
    const first = snapshot === undefined ? undefined : (JSON.parse(snapshot.toString('utf8')) as Entry)
    const entries = first === undefined ? [] : [first]
    this.#seq = first?.seq ?? 0
    for (const line of this.#wholeLines()) {
      const entry = JSON.parse(line) as Entry
      if (entry.seq > this.#seq) entries.push(entry)
      this.#seq = Math.max(this.#seq, entry.seq)
      this.#lines++
    }
    if (entries.some(entry => entry.seed !== this.#seed))
      throw new Error(`${this.#path} was written from another seed: use another state directory, or remove this one`)
    return entries
  }

  append(at: number, changes: readonly Change[]): void {
    const entry: Entry = { seq: ++this.#seq, at, seed: this.#seed, changes }
    appendFileSync(this.#path, `${JSON.stringify(entry)}\n`, { mode: 0o600 })
    this.#lines++
  }

  /** Whether the journal has grown so long that a snapshot pays. */
  get long(): boolean {
    return this.#lines >= compactEvery
  }

  /** Replaces everything written so far by one snapshot of the whole state. */
  compact(at: number, rows: readonly Change[]): void {
    const entry: Entry = { seq: this.#seq, at, seed: this.#seed, changes: rows }
    const next = `${this.#snapshot}.next`
    writeFileSync(next, JSON.stringify(entry), { mode: 0o600 })
    const file = openSync(next, 'r')
    fsyncSync(file)
    closeSync(file)
    renameSync(next, this.#snapshot)
    rmSync(this.#path, { force: true })
    this.#lines = 0
  }

  #wholeLines(): string[] {
    const bytes = readIfThere(this.#path)
    if (bytes === undefined) return []
    const end = bytes.lastIndexOf(0x0a) + 1
    if (end < bytes.length) truncateSync(this.#path, end)
    return bytes
      .subarray(0, end)
      .toString('utf8')
      .split('\n')
      .filter(line => line !== '')
  }
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
