// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { settingsOf } from './genesis.ts'
import { Journal } from './journal.ts'
import { State } from './model/state.ts'
import { code, smallSeed, world } from './testing.ts'

const seed = settingsOf(smallSeed()).seed

function directory(t: { after(fn: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'sim-journal-'))
  t.after(() => rmSync(dir, { recursive: true }))
  return dir
}

/** The rows that a fresh state has after reading a directory. */
function restored(dir: string): string {
  const state = new State(settingsOf(smallSeed()))
  for (const { changes, at } of new Journal(dir, seed).load()) state.restore(changes, at)
  return rows(state)
}

function rows(state: State): string {
  return JSON.stringify(
    state
      .dump()
      .map(change => JSON.stringify(change))
      .sort(),
  )
}

test('a journal cut at any byte restores the state after the last whole operation', async t => {
  const dir = directory(t)
  const { call, simulator, clock, instance } = world({}, dir)
  const after: { readonly bytes: number; readonly rows: string }[] = [{ bytes: 0, rows: '[]' }]
  const path = join(dir, 'journal.ndjson')
  const note = () => after.push({ bytes: statSync(path).size, rows: rows(simulator.store.state) })
  note()
  simulator.store.onChange(note)
  const { NetworkInterfaceId } = await call('CreateNetworkInterface', {
    VSwitchId: 'vsw-a',
    SecurityGroupId: 'sg-1',
    ClientToken: 't',
    SecondaryPrivateIpAddressCount: '2',
  })
  clock.pass(100)
  await call('AttachNetworkInterface', { NetworkInterfaceId, InstanceId: instance.instanceId })
  clock.pass(1000)
  await call('TagResources', { ResourceType: 'eni', 'ResourceId.1': NetworkInterfaceId, 'Tag.1.Key': 'ä', 'Tag.1.Value': 'ö' })
  const bytes = readFileSync(path)
  const other = directory(t)
  // Every byte of the last lines; the first, long ones in steps.
  for (let cut = 0; cut <= bytes.length; cut += cut < bytes.length - 1200 ? 41 : 1) {
    writeFileSync(join(other, 'journal.ndjson'), bytes.subarray(0, cut))
    const whole = after.findLast(point => point.bytes <= cut)
    assert.equal(restored(other), whole?.rows, `cut at byte ${cut} of ${bytes.length}`)
  }
})

test('after a torn line the journal goes on', async t => {
  const dir = directory(t)
  const path = join(dir, 'journal.ndjson')
  await world({}, dir).createEni()
  writeFileSync(path, readFileSync(path).subarray(0, -5))
  const again = world({}, dir)
  await again.createEni()
  assert.equal(rows(world({}, dir).simulator.store.state), rows(again.simulator.store.state))
})

test('a restart keeps client tokens, and transitions go on', async t => {
  const dir = directory(t)
  const before = world({}, dir)
  const create = { VSwitchId: 'vsw-a', SecurityGroupId: 'sg-1', ClientToken: 'kept' }
  const first = await before.call('CreateNetworkInterface', create)
  const after = world({}, dir)
  assert.equal(after.eni(first.NetworkInterfaceId)?.status, 'Creating')
  assert.deepEqual(await after.call('CreateNetworkInterface', create), first)
  await assert.rejects(after.call('CreateNetworkInterface', { ...create, Description: 'x' }), code('IdempotentParameterMismatch'))
  after.clock.pass(100)
  assert.equal(after.eni(first.NetworkInterfaceId)?.status, 'Available')
  assert.deepEqual(after.instance, before.instance)
  const second = await after.createEni()
  assert.notEqual(second, first.NetworkInterfaceId)
})

test('a snapshot replaces the journal, also when the crash comes between the two', t => {
  const dir = directory(t)
  const { simulator } = world({}, dir)
  const path = join(dir, 'journal.ndjson')
  copyFileSync(path, join(dir, 'kept'))
  const journal = new Journal(dir, seed)
  journal.load()
  journal.compact(simulator.store.state.now, simulator.store.state.dump())
  assert.equal(existsSync(path), false)
  assert.equal(restored(dir), rows(simulator.store.state))
  copyFileSync(join(dir, 'kept'), path)
  assert.equal(restored(dir), rows(simulator.store.state))
})

test('the state of another seed is refused', t => {
  const dir = directory(t)
  world({}, dir)
  assert.throws(() => world({ zones: ['cn-lab-a', 'cn-lab-b', 'cn-lab-c'] }, dir), /another seed/)
})
