// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, before, test } from 'node:test'
import { openLedger } from '#ipam/ledger-sqlite.ts'
import type { AppError } from '#lib/errors.ts'
import { leaseOf } from '../../test/support/leases.ts'

let dir: string
before(() => {
  dir = mkdtempSync(join(tmpdir(), 'terway-sqlite-'))
})
after(() => rmSync(dir, { recursive: true }))

const options = (name: string) => ({ path: join(dir, name, 'ledger.db'), bootId: 'b1', stamp: '2026-01-02' })

function lastWords(name: string): string {
  const { ledger } = openLedger(options(name))
  ledger.commit([{ put: 'lease', lease: leaseOf('c1', '10.0.0.5') }])
  ledger.close()
  return options(name).path
}

for (const [what, damage] of [
  ['a file that is no database', (path: string) => writeFileSync(path, 'not a database, but long enough to have a header'.repeat(100))],
  ['a cut file', (path: string) => writeFileSync(path, readFileSync(path).subarray(0, 5000))],
  ['a row that does not parse', (path: string) => sql(path, "UPDATE lease SET body = '{}'")],
] as const) {
  test(`${what} is kept aside and rebuilt empty`, () => {
    const path = lastWords(what)
    damage(path)
    const { ledger, rebuilt } = openLedger(options(what))
    assert.deepEqual(ledger.load().leases, [])
    assert.equal(rebuilt?.aside, `${path}.corrupt-2026-01-02`)
    assert.match(rebuilt.reason, /ledger/)
    assert.ok(existsSync(rebuilt.aside))
    ledger.commit([{ put: 'lease', lease: leaseOf('c2', '10.0.0.6') }])
    ledger.close()
  })
}

test('a lease of an ENI that a pod has for itself is read again as it was written; one of an unknown kind is not', () => {
  const shared = leaseOf('c1', '10.0.0.5')
  const attachment = { ...shared.attachment, kind: 'exclusive-eni' as const, hostRoutes: [], hostPeer: true }
  const write = (name: string) => {
    const { ledger } = openLedger(options(name))
    ledger.commit([{ put: 'lease', lease: { ...shared, attachment } }])
    ledger.close()
    return options(name).path
  }
  write('exclusive')
  const { ledger } = openLedger(options('exclusive'))
  assert.deepEqual(ledger.load().leases, [{ ...shared, attachment }])
  ledger.close()
  for (const [name, damage] of [
    ['kind', `replace(body, 'exclusive-eni', 'trunk-member')`],
    ['no host side', `replace(body, '"hostPeer":true', '"hostPeer":1')`],
  ] as const) {
    sql(write(name), `UPDATE lease SET body = ${damage}`)
    const damaged = openLedger(options(name))
    assert.ok(damaged.rebuilt, name)
    damaged.ledger.close()
  }
})

test('a ledger of a newer release is refused and left alone', () => {
  const path = lastWords('newer')
  sql(path, 'PRAGMA user_version = 99')
  assert.throws(() => openLedger(options('newer')), { code: 'ledger-version' })
  assert.ok(existsSync(path))
})

test('a second opener is told so', () => {
  const first = openLedger(options('twice')).ledger
  assert.throws(() => openLedger(options('twice')), { code: 'ledger-locked' })
  first.close()
})

test('a failed commit changes nothing', () => {
  const { ledger } = openLedger(options('atomic'))
  const broken = { ip: undefined, since: 1 } as never
  assert.throws(() =>
    ledger.commit([
      { put: 'lease', lease: leaseOf('c1', '10.0.0.5') },
      { put: 'cooling', cooling: broken },
    ]),
  )
  ledger.close()
  const again = openLedger(options('atomic')).ledger
  assert.deepEqual(again.load().leases, [])
  again.close()
})

/** In the child: fills a small file system through the ledger, then frees it; prints the first failure and how many leases survived. */
function fillUp(): void {
  const path = join(process.env.TERWAY_LEDGER_FULL ?? '', 'ledger.db')
  const { ledger } = openLedger({ path, bootId: 'b1', stamp: 't' })
  let committed = 0
  let failure: AppError | undefined
  while (failure === undefined && committed < 10_000) {
    try {
      ledger.commit([{ put: 'lease', lease: leaseOf(`c${committed}`, '10.0.0.5') }])
      committed++
    } catch (e) {
      failure = e as AppError
    }
  }
  ledger.close()
  const again = openLedger({ path, bootId: 'b1', stamp: 't' })
  process.stdout.write(
    JSON.stringify({ committed, code: failure?.code, found: again.ledger.load().leases.length, rebuilt: again.rebuilt !== undefined }),
  )
  again.ledger.close()
}

if (process.env.TERWAY_LEDGER_FULL !== undefined) fillUp()
else {
  test('a full disk is an error of its own, and nothing of the failed commit stays', {
    skip: process.getuid?.() !== 0 && 'needs root',
  }, () => {
    const mount = mkdtempSync(join(dir, 'full-'))
    const script = `mount -t tmpfs -o size=256k tmpfs ${mount} && exec "$@"`
    const child = spawnSync('unshare', ['-m', 'sh', '-c', script, 'sh', process.execPath, import.meta.filename], {
      env: { ...process.env, TERWAY_LEDGER_FULL: mount, NODE_TEST_CONTEXT: '' },
      encoding: 'utf8',
    })
    const line = child.stdout.split('\n').find(l => l.startsWith('{"committed"')) ?? `{"stderr":${JSON.stringify(child.stderr)}}`
    const outcome = JSON.parse(/\{"committed".*?\}/.exec(line)?.[0] ?? line)
    assert.equal(outcome.code, 'ledger-full', child.stderr)
    assert.ok(outcome.committed > 10)
    assert.equal(outcome.found, outcome.committed)
    assert.equal(outcome.rebuilt, false)
  })
}

function sql(path: string, text: string): void {
  const db = new DatabaseSync(path)
  db.exec(text)
  db.close()
}
