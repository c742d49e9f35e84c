// SPDX-License-Identifier: Apache-2.0
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Lease } from '../src/ipam/ledger.ts'
import { leaseOfRow } from '../src/ipam/ledger-row.ts'
import type { Lab } from './lab.ts'
import { nodeDir } from './names.ts'

/**
 * The leases of a node's terwayd, in any state, from a copy: terwayd keeps the ledger locked. Undefined when the copy was torn
 * by a write at that moment, or there is no ledger: ask again.
 */
export function leasesOf(lab: Lab, node: string): readonly Lease[] | undefined {
  const ledger = join(nodeDir(lab.names, node), 'disk', 'cni', 'terway', 'ledger.db')
  if (!existsSync(ledger)) return undefined
  const directory = mkdtempSync(join(tmpdir(), 'terway-lab-ledger-'))
  try {
    const copy = join(directory, 'ledger.db')
    for (const suffix of ['', '-wal']) if (existsSync(ledger + suffix)) copyFileSync(ledger + suffix, copy + suffix)
    const db = new DatabaseSync(copy)
    try {
      return db.prepare('SELECT * FROM lease').all().map(leaseOfRow)
    } finally {
      db.close()
    }
  } catch {
    return undefined
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
