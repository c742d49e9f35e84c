// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keptMonitor, repairedMode, servesNow, wantedMode } from '#datapath/v2/node-mode.ts'
import { mode } from '#kernel/bpf/words.ts'

const { guard, forward, policy, learn, service, monitor } = mode
const v2 = guard | forward | policy

test('the mode of each kind of node', () => {
  assert.equal(wantedMode('v2', false, false), v2)
  assert.equal(wantedMode('v2', true, true), v2 | service | learn)
  assert.equal(wantedMode('services', true, false), service)
  assert.equal(wantedMode('services', false, false), 0, 'which waits for its Services')
})

test('repair puts the mode back, but for a node that is switched off, of which only Services go on', () => {
  assert.equal(repairedMode(v2, v2 | learn, false), v2)
  assert.equal(repairedMode(v2, 0, false), 0)
  assert.equal(repairedMode(v2, guard, false), v2)
  assert.equal(repairedMode(v2 | service, service, false), service)
  assert.equal(repairedMode(v2 | service | learn, 0, false), service)
  assert.equal(repairedMode(v2 | service, v2, false), v2 | service)
  assert.equal(repairedMode(service, 0, false), service)
  assert.equal(repairedMode(0, service, false), 0)
})

test('the bit of those who look stays while somebody looks, and is no reason to take a node for one that is on', () => {
  assert.equal(repairedMode(v2, v2 | monitor, true), v2 | monitor)
  assert.equal(repairedMode(v2, v2 | learn | monitor, true), v2 | monitor)
  assert.equal(repairedMode(v2, v2 | monitor, false), v2, 'that of one who was killed')
  assert.equal(repairedMode(v2, v2, true), v2, 'it is nobody else’s to set')
  assert.equal(repairedMode(v2, monitor, true), 0)
  assert.equal(repairedMode(v2 | service, service | monitor, true), service | monitor)
  assert.equal(repairedMode(undefined, v2 | monitor, true), v2 | monitor)
  assert.equal(repairedMode(undefined, v2 | monitor, false), v2)
  assert.equal(keptMonitor(v2 | learn, v2 | monitor), v2 | learn | monitor)
  assert.equal(keptMonitor(0, v2 | monitor), 0)
})

test('a node with pods translates Services once all of them are there, and never stops by itself', () => {
  const facts = { isWanted: true, mode: v2, pods: 3, isSynced: false }
  assert.equal(servesNow(facts), false)
  assert.equal(servesNow({ ...facts, isSynced: true }), true)
  assert.equal(servesNow({ ...facts, pods: 0 }), true)
  assert.equal(servesNow({ ...facts, mode: service }), true)
  assert.equal(servesNow({ isWanted: false, mode: service, pods: 0, isSynced: true }), false)
})
