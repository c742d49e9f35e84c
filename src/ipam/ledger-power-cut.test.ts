// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { LedgerChange, LedgerState } from '#ipam/ledger.ts'
import { openLedger, outlivesBoot } from '#ipam/ledger-sqlite.ts'
import { parseIp } from '#net/ip.ts'
import { leaseOf } from '../../test/support/leases.ts'
import { emptyDisk, LedgerMemory } from '../../test/support/ledger-memory.ts'
import { VirtualClock } from '../../test/support/virtual-clock.ts'

const dir = mkdtempSync(join(tmpdir(), 'terway-power-'))
after(() => rmSync(dir, { recursive: true }))

/** Enough for the log to be copied into the database twice. */
const commits = 320
/** Without the rare moments, the power goes at every so manyth commit. */
const every = 5
/** Only every so manyth commit may hold answers to marks. */
const answerEvery = 3
const pageSize = 4096
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
const dice = new VirtualClock(seed)
const between = (from: number, to: number) => from + Math.floor(dice.random() * (to - from))

interface Files {
  readonly db: Buffer
  readonly wal: Buffer
}

/** What a disk may hold of a file whose bytes from `at` to `to` were being written: nothing, what was there before, or anything. */
const tails: readonly ((before: Buffer, now: Buffer, at: number, to: number) => Buffer)[] = [
  (_, now, at) => now.subarray(0, at),
  (before, now, at) => Buffer.concat([now.subarray(0, at), before.subarray(at)]),
  (_, now, at, to) => Buffer.concat([now.subarray(0, at), Buffer.from(now.subarray(at, to)).map(() => between(0, 256)), now.subarray(to)]),
]

test('a commit waits for the disk when it holds what the next boot believes', () => {
  const release = { ip: parseIp('10.0.0.1'), nonce: 'n', answer: 'acked', since: 3 } as const
  const lease = { put: 'lease', lease: leaseOf('c1', '10.0.0.1') } as const
  assert.equal(outlivesBoot([lease, { put: 'release', release }]), true)
  assert.equal(outlivesBoot([{ drop: 'release', ip: release.ip }]), true)
  const others: LedgerChange[] = [
    { drop: 'lease', containerId: 'c1' },
    { drop: 'cooling', ip: release.ip },
  ]
  assert.equal(outlivesBoot([lease, { put: 'cooling', cooling: { ip: release.ip, since: 0 } }, ...others]), false)
})

/**
 * What was synced last is on the disk; whatever was written since may be there in part: of the log up to any byte, of the
 * database (while the log is copied into it) any pages. The boot that follows finds the answers to marks as after the commit that was
 * under way or as before it. A log that lost more than that, which an honest disk does not do, is a prefix of the history or
 * called damaged.
 */
test(`the power goes in the middle of commits: no answer is lost or torn (seed ${seed})`, t => {
  const path = join(dir, 'live.db')
  const { ledger } = openLedger({ path, bootId: 'b1', stamp: 't' })
  const model = new LedgerMemory(emptyDisk(), 'b1')
  const history = [stateOf(model)]
  let synced = read(path)
  let before = synced
  const count = { cuts: 0, copies: 0, restarts: 0 }
  for (let n = 1; n <= commits; n++) {
    const changes = Array.from({ length: between(1, 20) }, anyChange).filter(c => n % answerEvery === 0 || !outlivesBoot([c]))
    ledger.commit(changes)
    model.commit(changes)
    history.push(stateOf(model))
    const now = read(path)
    const isCopied = !now.db.equals(before.db)
    const isRestarted = difference(before.wal, now.wal)[0] < 32
    if (isCopied) count.copies++
    if (isRestarted) count.restarts++
    const cut = (files: Files, states: readonly LedgerState[], what: string) => {
      count.cuts++
      assertOneOf(reopened(files, 'b2'), states.map(afterBoot), `commit ${n}: ${what}`)
    }
    if (isCopied || isRestarted || n % every === 0) {
      const [from, to] = difference(synced.wal, now.wal)
      for (const tail of tails) {
        const at = between(from, to + 1)
        cut({ db: synced.db, wal: tail(synced.wal, now.wal, at, to) }, history.slice(-2), `log cut at ${at} of ${from} to ${to}`)
      }
      assertOneOf(reopened(now, 'b1'), history.slice(-1), `commit ${n}: a kill loses nothing`)
    }
    // The log is whole and synced before its pages are copied.
    if (isCopied)
      for (let i = 0; i < 5; i++) cut({ db: mixed(before.db, now.db), wal: now.wal }, history.slice(-1), 'while the log is copied')
    if (count.copies === 0 && n % every === 0) {
      const state = reopened({ db: now.db, wal: now.wal.subarray(0, between(0, now.wal.length)) }, 'b1')
      if (state !== 'damaged') assertOneOf(state, history, `commit ${n}: much of the log is lost`)
    }
    if (isCopied || outlivesBoot(changes)) synced = now
    before = now
  }
  ledger.close()
  assert.ok(count.copies >= 1 && count.restarts >= 1, 'the log was copied, and begun again')
  t.diagnostic(`${count.cuts} power cuts in ${commits} commits, the log copied ${count.copies} times, seed ${seed}`)
})

function afterBoot({ releases }: LedgerState): LedgerState {
  return { leases: [], cooling: [], releases }
}

function read(path: string): Files {
  return { db: readFileSync(path), wal: readFileSync(`${path}-wal`) }
}

/** What the next process finds. */
function reopened({ db, wal }: Files, bootId: string): LedgerState | 'damaged' {
  const path = join(dir, 'after', 'ledger.db')
  rmSync(join(dir, 'after'), { recursive: true, force: true })
  mkdirSync(join(dir, 'after'))
  writeFileSync(path, db)
  writeFileSync(`${path}-wal`, wal)
  const { ledger, rebuilt } = openLedger({ path, bootId, stamp: 't' })
  const state = sorted(ledger.load())
  ledger.close()
  if (rebuilt === undefined) return state
  assert.ok(existsSync(rebuilt.aside))
  assert.deepEqual(state, { leases: [], cooling: [], releases: [] })
  return 'damaged'
}

function assertOneOf(state: LedgerState | 'damaged', states: readonly LedgerState[], message: string): void {
  const text = JSON.stringify(state)
  assert.ok(
    states.some(s => JSON.stringify(s) === text),
    `${message}: ${text.slice(0, 300)}`,
  )
}

/** First and last byte that differ, the last one exclusive. */
function difference(before: Buffer, now: Buffer): readonly [number, number] {
  const common = Math.min(before.length, now.length)
  let from = 0
  while (from < common && before.subarray(from, from + pageSize).equals(now.subarray(from, from + pageSize))) from += pageSize
  while (from < common && before[from] === now[from]) from++
  let to = now.length
  if (before.length === now.length) while (to > from && before[to - 1] === now[to - 1]) to--
  return [Math.min(from, now.length), to]
}

/** Some pages as before, some as now. */
function mixed(before: Buffer, now: Buffer): Buffer {
  const file = Buffer.from(now)
  for (let at = 0; at < now.length; at += pageSize) {
    if (dice.random() < 0.5) file.fill(0, at, at + pageSize).set(before.subarray(at, at + pageSize), at)
  }
  return file
}

function anyChange(): LedgerChange {
  const n = between(1, 120)
  const ip = parseIp(`10.0.0.${n}`)
  const kinds: readonly LedgerChange[] = [
    { put: 'lease', lease: leaseOf(`c${n}`, ip, { since: between(0, 1e6) }) },
    { put: 'lease', lease: leaseOf(`c${n}`, ip, { state: 'dying', since: between(0, 1e6) }) },
    { drop: 'lease', containerId: `c${n}` },
    { put: 'cooling', cooling: { ip, since: between(0, 1e6) } },
    { drop: 'cooling', ip },
    { put: 'release', release: { ip, nonce: `n${between(0, 1e6)}`, answer: 'acked', since: 3 } },
  ]
  return kinds[between(0, kinds.length)] as LedgerChange
}

function stateOf({ disk }: LedgerMemory): LedgerState {
  return sorted({ leases: [...disk.leases.values()], cooling: [...disk.cooling.values()], releases: [...disk.releases.values()] })
}

function sorted(state: LedgerState): LedgerState {
  const by = <T>(items: readonly T[], key: (item: T) => string) => [...items].sort((a, b) => (key(a) < key(b) ? -1 : 1))
  return { leases: by(state.leases, l => l.containerId), cooling: by(state.cooling, c => c.ip), releases: by(state.releases, r => r.ip) }
}
