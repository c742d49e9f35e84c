// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Ledger, LedgerChange, LedgerState } from '#ipam/ledger.ts'
import { coolingOfRow, type LedgerCode, leaseOfRow, releaseOfRow } from '#ipam/ledger-row.ts'
import { AppError, isAppError, messageOf, unreachable } from '#lib/errors.ts'

/** PRAGMA user_version of this layout; an older one would be migrated here, a newer one is refused. */
const schemaVersion = 1
const schema = `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE lease (container_id TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE cooling (ip TEXT PRIMARY KEY, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE release (ip TEXT PRIMARY KEY, nonce TEXT NOT NULL, answer TEXT NOT NULL, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  PRAGMA user_version = ${schemaVersion};
`
/** Result codes of SQLite (sqlite.org/rescode.html). */
const sqlite = { busy: 5, ioError: 10, corrupt: 11, full: 13, notADatabase: 26 } as const

export interface LedgerOptions {
  readonly path: string
  /** Identity of the present boot: with another one, leases and cooling are void, since no sandbox survives a reboot. */
  readonly bootId: string
  /** Names the file that a corrupt ledger is kept as; any text that may be in a file name. */
  readonly stamp: string
}

export interface OpenedLedger {
  readonly ledger: Ledger
  /** Set when the ledger was unreadable: it is kept as `aside`, and the new one is empty. */
  readonly rebuilt?: { readonly aside: string; readonly reason: string }
}

/** Opens or creates the ledger, alone: a second process gets `ledger-locked`. Throws AppError<LedgerCode>. */
export function openLedger(options: LedgerOptions): OpenedLedger {
  mkdirSync(dirname(options.path), { recursive: true, mode: 0o700 })
  try {
    return { ledger: new SqliteLedger(options) }
  } catch (e) {
    if (!isAppError(e) || e.code !== 'ledger-corrupt') throw e
    const aside = setAside(options)
    return { ledger: new SqliteLedger(options), rebuilt: { aside, reason: messageOf(e) } }
  }
}

class SqliteLedger implements Ledger {
  readonly #db: DatabaseSync
  readonly #path: string
  readonly #state: LedgerState
  readonly #write: Record<'putLease' | 'dropLease' | 'putCooling' | 'dropCooling' | 'putRelease' | 'dropRelease', Statement>

  constructor(options: LedgerOptions) {
    this.#path = options.path
    this.#db = this.#try(() => new DatabaseSync(options.path))
    try {
      this.#state = this.#try(() => this.#open(options.bootId))
    } catch (e) {
      this.#db.close()
      throw e
    }
    const sql = (text: string) => this.#db.prepare(text)
    this.#write = {
      putLease: sql('INSERT INTO lease VALUES (?, ?) ON CONFLICT DO UPDATE SET body = excluded.body'),
      dropLease: sql('DELETE FROM lease WHERE container_id = ?'),
      putCooling: sql('INSERT INTO cooling VALUES (?, ?) ON CONFLICT DO UPDATE SET since = excluded.since'),
      dropCooling: sql('DELETE FROM cooling WHERE ip = ?'),
      putRelease: sql(
        'INSERT INTO release VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET nonce = excluded.nonce, answer = excluded.answer, since = excluded.since',
      ),
      dropRelease: sql('DELETE FROM release WHERE ip = ?'),
    }
  }

  load(): LedgerState {
    return this.#state
  }

  commit(changes: readonly LedgerChange[]): void {
    this.#try(() => {
      const isSynced = outlivesBoot(changes)
      if (isSynced) this.#db.exec('PRAGMA synchronous = FULL')
      try {
        this.#transaction(() => {
          for (const change of changes) this.#apply(change)
        })
      } finally {
        if (isSynced) this.#db.exec('PRAGMA synchronous = NORMAL')
      }
    })
  }

  close(): void {
    this.#db.close()
  }

  /**
   * Exclusive locking keeps the WAL index in memory: no shared-memory file that a full disk could tear. Normal synchrony: a commit is
   * in the file when it returns, which a killed process does not take back, and the log is synced before it is copied.
   */
  #open(bootId: string): LedgerState {
    this.#db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 0;')
    const version = Number(this.#db.prepare('PRAGMA user_version').get()?.user_version)
    if (version > schemaVersion) {
      throw this.#error(
        'ledger-version',
        `has layout ${version}, this release reads ${schemaVersion}: run the newer release, or move the file away`,
      )
    }
    if (version === 0) this.#transaction(() => this.#db.exec(schema))
    const check = this.#db.prepare('PRAGMA quick_check(1)').get()?.quick_check
    if (check !== 'ok') throw this.#error('ledger-corrupt', `is damaged: ${check}`)
    if (this.#db.prepare("SELECT value FROM meta WHERE key = 'boot_id'").get()?.value !== bootId) this.#newBoot(bootId)
    const rows = (table: string) => this.#db.prepare(`SELECT * FROM ${table}`).all()
    return {
      leases: rows('lease').map(leaseOfRow),
      cooling: rows('cooling').map(coolingOfRow),
      releases: rows('release').map(releaseOfRow),
    }
  }

  #newBoot(bootId: string): void {
    this.#transaction(() => {
      this.#db.exec('DELETE FROM lease; DELETE FROM cooling;')
      this.#db.prepare("INSERT INTO meta VALUES ('boot_id', ?) ON CONFLICT DO UPDATE SET value = excluded.value").run(bootId)
    })
  }

  #apply(change: LedgerChange): void {
    if ('put' in change) {
      switch (change.put) {
        case 'lease':
          this.#write.putLease.run(change.lease.containerId, JSON.stringify(change.lease))
          return
        case 'cooling':
          this.#write.putCooling.run(change.cooling.ip, Math.round(change.cooling.since))
          return
        case 'release': {
          const { ip, nonce, answer, since } = change.release
          this.#write.putRelease.run(ip, nonce, answer, Math.round(since))
          return
        }
        default:
          unreachable(change)
      }
    } else if (change.drop === 'lease') this.#write.dropLease.run(change.containerId)
    else if (change.drop === 'cooling') this.#write.dropCooling.run(change.ip)
    else this.#write.dropRelease.run(change.ip)
  }

  #transaction(work: () => void): void {
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      work()
      this.#db.exec('COMMIT')
    } catch (e) {
      // SQLite rolls back by itself after some failures (disk full among them).
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw e
    }
  }

  #try<T>(work: () => T): T {
    try {
      return work()
    } catch (e) {
      if (isAppError(e)) throw e
      throw this.#classified(e)
    }
  }

  #classified(e: unknown): AppError<LedgerCode> {
    const code = typeof e === 'object' && e !== null && 'errcode' in e ? Number(e.errcode) & 0xff : 0
    if (code === sqlite.full) return this.#error('ledger-full', 'cannot grow: free space on its file system', e)
    if (code === sqlite.busy) return this.#error('ledger-locked', 'is open in another process', e)
    if (code === sqlite.corrupt || code === sqlite.notADatabase) return this.#error('ledger-corrupt', 'is damaged', e)
    return this.#error('ledger-io', 'cannot be read or written', e)
  }

  #error(code: LedgerCode, what: string, cause?: unknown): AppError<LedgerCode> {
    return new AppError(code, `ledger ${this.#path} ${what}`, cause === undefined ? undefined : { cause })
  }
}

/**
 * Whether a commit must be on the disk when it returns, and so wait for it. After a power cut there is another boot, which voids
 * leases and cooling; answers to marks are what the controller may have acted upon.
 */
export function outlivesBoot(changes: readonly LedgerChange[]): boolean {
  return changes.some(change => ('put' in change ? change.put : change.drop) === 'release')
}

type Statement = ReturnType<DatabaseSync['prepare']>

function setAside({ path, stamp }: LedgerOptions): string {
  const aside = `${path}.corrupt-${stamp}`
  for (const suffix of ['', '-wal', '-shm']) if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix)
  return aside
}
