// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import type { Ledger, LedgerChange, LedgerState } from '#ipam/ledger.ts'
import { openLedger } from '#ipam/ledger-sqlite.ts'
import { parseIp } from '#net/ip.ts'
import { generator } from '../support/generator.ts'
import { leaseOf } from '../support/leases.ts'
import { emptyDisk, LedgerMemory } from '../support/ledger-memory.ts'

/** Opens the same store again and again; the previous one is closed (or abandoned) first. */
type Reopen = (bootId: string) => Ledger

const root = mkdtempSync(join(tmpdir(), 'terway-ledger-'))
after(() => rmSync(root, { recursive: true }))

let files = 0
const stores: Record<string, () => Reopen> = {
  sqlite: () => {
    const path = join(root, `${files++}`, 'ledger.db')
    return bootId => openLedger({ path, bootId, stamp: 'test' }).ledger
  },
  memory: () => {
    const disk = emptyDisk()
    return bootId => new LedgerMemory(disk, bootId)
  },
}

const ip = parseIp('10.0.0.9')

for (const [name, make] of Object.entries(stores)) {
  describe(`ledger: ${name}`, () => {
    test('is empty at first', () => {
      using store = opened(make(), 'b1')
      assert.deepEqual(store.ledger.load(), { leases: [], cooling: [], releases: [] })
    })

    test('keeps what was committed for the next process of the same boot', () => {
      const reopen = make()
      const kept = leaseOf('c1', '10.0.0.5')
      write(reopen, 'b1', [
        { put: 'lease', lease: leaseOf('c1', '10.0.0.5', { state: 'pending' }) },
        { put: 'lease', lease: kept },
        { put: 'lease', lease: leaseOf('c2', '10.0.0.6') },
        { put: 'cooling', cooling: { ip, since: 7 } },
        { put: 'release', release: { ip, nonce: 'n1', answer: 'acked', since: 8 } },
      ])
      write(reopen, 'b1', [{ drop: 'lease', containerId: 'c2' }])
      using store = opened(reopen, 'b1')
      assert.deepEqual(store.ledger.load(), {
        leases: [kept],
        cooling: [{ ip, since: 7 }],
        releases: [{ ip, nonce: 'n1', answer: 'acked', since: 8 }],
      })
    })

    test('a new boot drops leases and cooling, and keeps answers to marks', () => {
      const reopen = make()
      const release = { ip, nonce: 'n1', answer: 'acked', since: 8 } as const
      write(reopen, 'b1', [
        { put: 'lease', lease: leaseOf('c1', '10.0.0.5') },
        { put: 'cooling', cooling: { ip, since: 7 } },
        { put: 'release', release },
      ])
      using second = opened(reopen, 'b2')
      assert.deepEqual(second.ledger.load(), { leases: [], cooling: [], releases: [release] })
    })

    test('dropping what is absent succeeds, and a drop removes only its own row', () => {
      const reopen = make()
      const other = parseIp('10.0.0.10')
      write(reopen, 'b1', [
        { put: 'cooling', cooling: { ip, since: 1 } },
        { put: 'cooling', cooling: { ip: other, since: 2 } },
        { drop: 'cooling', ip },
        { drop: 'lease', containerId: 'nobody' },
        { drop: 'release', ip },
      ])
      using store = opened(reopen, 'b1')
      assert.deepEqual(store.ledger.load().cooling, [{ ip: other, since: 2 }])
    })

    test('agrees with a plain map over random commits and restarts', () => {
      const reopen = make()
      const model = emptyDisk()
      const random = generator(42)
      for (let round = 0; round < 20; round++) {
        const changes = Array.from({ length: 5 }, () => anyChange(random))
        write(reopen, 'b1', changes)
        new LedgerMemory(model, 'b1').commit(changes)
        using store = opened(reopen, 'b1')
        assert.deepEqual(sorted(store.ledger.load()), sorted(new LedgerMemory(model, 'b1').load()))
      }
    })
  })
}

function opened(reopen: Reopen, bootId: string): { ledger: Ledger } & Disposable {
  const ledger = reopen(bootId)
  return { ledger, [Symbol.dispose]: () => ledger.close() }
}

function write(reopen: Reopen, bootId: string, changes: readonly LedgerChange[]): void {
  using store = opened(reopen, bootId)
  store.ledger.commit(changes)
}

function anyChange(random: () => number): LedgerChange {
  const n = Math.floor(random() * 4)
  const address = parseIp(`10.0.0.${n}`)
  const kinds: readonly LedgerChange[] = [
    { put: 'lease', lease: leaseOf(`c${n}`, `10.0.0.${n}`, { since: Math.floor(random() * 1e6) }) },
    { drop: 'lease', containerId: `c${n}` },
    { put: 'cooling', cooling: { ip: address, since: Math.floor(random() * 1e6) } },
    { drop: 'cooling', ip: address },
    { put: 'release', release: { ip: address, nonce: `n${random()}`, answer: random() < 0.5 ? 'acked' : 'refused', since: 3 } },
    { drop: 'release', ip: address },
  ]
  return kinds[Math.floor(random() * kinds.length)] as LedgerChange
}

function sorted(state: LedgerState): LedgerState {
  const by = <T>(items: readonly T[], key: (item: T) => string) => [...items].sort((a, b) => (key(a) < key(b) ? -1 : 1))
  return { leases: by(state.leases, l => l.containerId), cooling: by(state.cooling, c => c.ip), releases: by(state.releases, r => r.ip) }
}
