// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { repairedMode, servesNow, wantedMode } from '#datapath/v2/node-mode.ts'
import { mode } from '#kernel/bpf/words.ts'

const { guard, forward, policy, learn, service } = mode
const v2 = guard | forward | policy

test('the mode of each kind of node', () => {
  assert.equal(wantedMode('v2', false, false), v2)
  assert.equal(wantedMode('v2', true, true), v2 | service | learn)
  assert.equal(wantedMode('services', true, false), service)
  assert.equal(wantedMode('services', false, false), 0, 'which waits for its Services')
})

test('repair puts the mode back, but for a node that is switched off, of which only Services go on', () => {
  assert.equal(repairedMode(v2, v2 | learn), v2)
  assert.equal(repairedMode(v2, 0), 0)
  assert.equal(repairedMode(v2, guard), v2)
  assert.equal(repairedMode(v2 | service, service), service)
  assert.equal(repairedMode(v2 | service | learn, 0), service)
  assert.equal(repairedMode(v2 | service, v2), v2 | service)
  assert.equal(repairedMode(service, 0), service)
  assert.equal(repairedMode(0, service), 0)
})

test('a node with pods translates Services once all of them are there, and never stops by itself', () => {
  const facts = { isWanted: true, mode: v2, pods: 3, isSynced: false }
  assert.equal(servesNow(facts), false)
  assert.equal(servesNow({ ...facts, isSynced: true }), true)
  assert.equal(servesNow({ ...facts, pods: 0 }), true)
  assert.equal(servesNow({ ...facts, mode: service }), true)
  assert.equal(servesNow({ isWanted: false, mode: service, pods: 0, isSynced: true }), false)
})
