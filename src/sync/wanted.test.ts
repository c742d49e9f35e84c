// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Chance } from '../../test/support/chance.ts'
import { generator } from '../../test/support/generator.ts'
import { Wanted } from './wanted.ts'

test('comparisons meet what is wanted by then, in whatever order, and what went and came again', () => {
  const chance = new Chance(generator(7))
  const [wanted, model] = [new Wanted(), new Map<string, string>()]
  const keys = Array.from({ length: 6 }, (_, i) => `key ${i}`)
  for (let round = 0; round < 500; round++) {
    for (let i = chance.below(12); i > 0; i--) {
      const key = chance.of('key 0', ...keys)
      const value = chance.rarely(3) ? undefined : chance.of('a', 'b')
      wanted.set({ map: 'backends', key, value })
      if (value === undefined) model.delete(key)
      else model.set(key, value)
    }
    // As the kernel tells them: mostly in the order of the last time.
    if (chance.rarely(10)) keys.sort(() => chance.below(3) - 1)
    const told = keys.filter(() => !chance.rarely(10))
    wanted.compare()
    for (const key of told) assert.equal(wanted.meets('backends', key, 'a'), model.get(key) === 'a', `${key} in round ${round}`)
    assert.deepEqual([...wanted.unseen('backends')].sort(), [...model.keys()].filter(key => !told.includes(key)).sort())
    assert.deepEqual(new Map(wanted.entries('backends')), model)
  }
})
