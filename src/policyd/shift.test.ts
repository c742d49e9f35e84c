// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silent } from '#lib/log.ts'
import { type Decision, undecided } from '#policyd/decision.ts'
import { Shift, type Working } from '#policyd/shift.ts'
import { PolicydWorld } from '../../test/support/policyd-world.ts'

const ours: Decision = { ...undecided, ours: true, reason: 'so' }
const theirs: Decision = { ...undecided, reason: 'not so' }

test('works while Services are ours, and shows what it does', async () => {
  const world = new PolicydWorld()
  world.service('web', { clusterIP: '172.21.0.10', clusterIPs: ['172.21.0.10'] })
  let begun = 0
  const failures: unknown[] = []
  const begin = async (): Promise<Working> => {
    begun++
    const policyd = world.make()
    return { policyd, close: () => policyd.stop() }
  }
  const shift = new Shift(begin, e => failures.push(e), silent)
  assert.deepEqual([shift.view('n').maps, shift.view('n').services()], [undefined, []])
  await shift.hear(theirs)
  assert.equal(begun, 0)
  await shift.hear(ours)
  await shift.hear({ ...ours, reason: 'still so' })
  await world.clock.advance(100)
  assert.equal(begun, 1)
  assert.deepEqual(
    [
      shift.view('n').maps?.synced,
      shift
        .view('n')
        .services()
        .map(s => s.name),
    ],
    [true, ['web']],
  )
  await shift.hear(theirs)
  assert.deepEqual([shift.view('n').maps, shift.view('n').decision], [undefined, theirs])
  assert.deepEqual(Object.keys(world.served()), ['172.21.0.10:80 inside'], 'the maps stay')
  await shift.hear(ours)
  assert.equal(begun, 2)
  await shift.end()
  assert.deepEqual(failures, [])
})

test('an end while there are no maps is no failure', async () => {
  const world = new PolicydWorld()
  world.kernel.unpin()
  const policyd = world.make()
  const failures: unknown[] = []
  const shift = new Shift(
    async () => ({ policyd, close: () => policyd.stop() }),
    e => failures.push(e),
    silent,
  )
  await shift.hear(ours)
  await world.clock.advance(5000)
  await shift.end()
  await world.clock.advance(5000)
  assert.deepEqual(failures, [])
})

test('another algorithm is another beginning, in which connections keep their backends', async () => {
  const world = new PolicydWorld()
  world.service('web', { clusterIP: '172.21.0.10', clusterIPs: ['172.21.0.10'] })
  world.endpoints('web', ['10.0.0.7', '10.0.0.8'])
  const begin = async ({ algorithm }: Decision): Promise<Working> => {
    world.options = { ...world.options, services: { maglev: algorithm === 'maglev' } }
    const policyd = world.make()
    return { policyd, close: () => policyd.stop() }
  }
  const shift = new Shift(begin, e => assert.fail(String(e)), silent)
  const backends = () => shift.view('n').services()[0]?.frontends[0]?.inside.backends
  const seen = []
  for (const algorithm of ['random', 'maglev', 'random'] as const) {
    await shift.hear({ ...ours, algorithm })
    await world.clock.advance(100)
    seen.push([shift.view('n').services()[0]?.maglev, backends()])
  }
  const both = [
    { id: 1, address: '10.0.0.7:8080/TCP' },
    { id: 2, address: '10.0.0.8:8080/TCP' },
  ]
  assert.deepEqual(seen, [
    [false, both],
    [true, both],
    [false, both],
  ])
  await shift.end()
})
