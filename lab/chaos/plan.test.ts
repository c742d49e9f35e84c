// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Act, describe, plan } from './plan.ts'

const nodes = ['node1', 'node2']

test('a seed gives one schedule, and another seed another', () => {
  assert.deepEqual(plan(7, 60, nodes), plan(7, 60, nodes))
  assert.notDeepEqual(plan(7, 60, nodes), plan(8, 60, nodes))
})

test('a longer run begins with the shorter one, in order and within its time', () => {
  const [short, long] = [plan(7, 30, nodes), plan(7, 120, nodes)]
  assert.deepEqual(long.slice(0, short.length), short)
  assert.ok(long.every(({ at }, i) => at < 120_000 && at >= (long[i - 1]?.at ?? 0)))
})

test('two minutes hold every kind of act, and kill every program', () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const acts = plan(seed, 120, nodes).map(s => s.act)
    assert.deepEqual(new Set(acts.map(a => a.kind)), new Set(['scale', 'create', 'delete', 'flash', 'kill']))
    const killed = acts.flatMap(a => (a.kind === 'kill' ? a.victim.program : []))
    assert.equal(new Set(killed).size, 6, `seed ${seed}: ${killed.join(' ')}`)
  }
})

test('only a pod that was created and not deleted yet is deleted', () => {
  const alive = new Set<string>()
  for (const { act } of plan(3, 300, nodes)) {
    if (act.kind === 'create') alive.add(act.pod)
    if (act.kind === 'delete') assert.ok(alive.delete(act.pod), act.pod)
  }
})

test('the timeline names what is done', () => {
  const said = (act: Act) => describe(act)
  assert.equal(said({ kind: 'kill', victim: { program: 'kubelet', node: 'node2' } }), 'kill -9 node2/kubelet')
  assert.equal(said({ kind: 'flash', pod: 'flash-1', after: 40, grace: 0 }), 'create flash-1, delete it after 40 ms by force')
})
