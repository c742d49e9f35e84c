// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EniStatus } from '#cloud/port.ts'
import { Moves } from '#controller/eni/moves.ts'
import { usualTimes } from '#controller/eni/usual.ts'
import type { Nic } from '#kube/crd/node.ts'

const id = 'eni-1'
const nic = (status: string): Nic => ({ id, status })
const nothing = { asked: new Set<string>(), seen: new Map<string, EniStatus | 'absent'>() }
const saw = (status: EniStatus) => ({ asked: new Set([id]), seen: new Map([[id, status]]) })

/** One ENI in a cloud that needs so long; rounds are made when they are due, up to the given time. */
class Stage {
  readonly usual = usualTimes()
  looks: number[] = []
  tries: number[] = []

  /** From the creation until it is seen attached. */
  run({ creating, attaching, until = 600_000 }: { creating: number; attaching: number; until?: number }): number | undefined {
    const moves = new Moves(this.usual)
    let [now, status, attachedAt] = [0, 'Available', Number.POSITIVE_INFINITY]
    this.looks = []
    this.tries = []
    const truth = (): EniStatus =>
      now >= attachedAt ? 'InUse' : attachedAt < Number.POSITIVE_INFINITY ? 'Attaching' : now >= creating ? 'Available' : 'Creating'
    moves.created(id, now)
    while (now < until) {
      now += moves.pollIn(nic(status), now, false)
      const due = moves.isDue(nic(status), now)
      if (due) this.looks.push(now)
      const looked = due ? saw(truth()) : nothing
      if (moves.follow([nic(status)], looked, now).length > 0) return now
      if (moves.withAssumed(looked.seen, now).get(id) !== 'Available') continue
      status = 'Attaching'
      this.tries.push(now)
      const refused = truth() !== 'Available'
      if (!refused) attachedAt = now + attaching
      moves.attaching(id, now, refused)
    }
    return undefined
  }
}

test('what was created is attached without a look, and looked at when it is usually attached', () => {
  const s = new Stage()
  const cloud = { creating: 300, attaching: 2300 }
  const first = s.run(cloud) ?? Number.NaN
  assert.deepEqual(s.tries, [300])
  assert.ok(first < 2_600 + 300, `${first} ms`)
  for (let i = 0; i < 10; i++) s.run(cloud)
  const later = s.run(cloud) ?? Number.NaN
  assert.ok(later < 2_600 + 100, `${later} ms`)
  assert.ok(s.looks.length <= 4, `${s.looks.length} looks`)
})

test('a cloud that is slower, or faster, than before is followed', () => {
  const s = new Stage()
  for (const cloud of [
    { creating: 300, attaching: 2300 },
    { creating: 700, attaching: 6000 },
    { creating: 200, attaching: 1000 },
  ]) {
    for (let i = 0; i < 60; i++) s.run(cloud)
    const took = s.run(cloud) ?? Number.NaN
    assert.ok(took < (cloud.creating + cloud.attaching) * 1.1 + 50, `${JSON.stringify(cloud)}: ${took} ms`)
  }
})

test('an ENI that takes long to be created is attached blindly a few times only, then when a look shows it', () => {
  const s = new Stage()
  const took = s.run({ creating: 5_000, attaching: 2_000 }) ?? Number.NaN
  assert.equal(s.tries.length, 6 + 1)
  assert.ok(took < 10_000, `${took} ms`)
})

test('one that never arrives is looked at less and less often, half a minute apart in the end', () => {
  const s = new Stage()
  assert.equal(s.run({ creating: 300, attaching: Number.POSITIVE_INFINITY }), undefined)
  assert.ok(s.looks.length <= 60, `${s.looks.length} looks in 10 minutes`)
  assert.ok(s.looks.slice(1).every((at, i) => at - (s.looks[i] ?? 0) <= 30_000))
})

test('an ENI of which another process knows when it began is looked at at once; and while the budget is short, once a second', () => {
  const moves = new Moves(usualTimes())
  assert.ok(moves.isDue(nic('Attaching'), 0))
  moves.follow([nic('Attaching')], saw('Attaching'), 0)
  assert.equal(moves.pollIn(nic('Attaching'), 0, false), 50)
  assert.equal(moves.pollIn(nic('Attaching'), 0, true), 1_000)
  assert.equal(moves.withAssumed(nothing.seen, 100_000).size, 0, 'nor attached without a look')
})
