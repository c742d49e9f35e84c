// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSeed, readSeed, SeedError } from './seed.ts'
import { smallSeed } from './testing.ts'

const problems = (value: unknown): readonly string[] => {
  try {
    parseSeed(value)
  } catch (error) {
    assert.ok(error instanceof SeedError)
    return error.problems
  }
  return []
}

test('the demo seed is good', () => {
  assert.equal(readSeed(`${import.meta.dirname}/seeds/demo.yaml`).vSwitches.length, 3)
})

test('faults name the path of their field, all at once', () => {
  const { quota: _, ...seed } = smallSeed()
  const [a, b] = seed.vSwitches
  assert.deepEqual(problems({ ...seed, vSwitches: [{ ...a, cidr: 'x', cidr4: 7 }] }), [
    'vSwitches[0].cidr is no known field',
    'vSwitches[0].cidr4 must be string',
  ])
  assert.deepEqual(
    problems({ ...seed, vSwitches: [a, { ...b, cidr4: '10.0.0.128/25', zone: 'nowhere' }, { ...b, id: 'c', cidr4: '10.9.0.0/24' }] }),
    [
      'vSwitches[1].cidr4 10.0.0.128/25 overlaps vSwitches[0].cidr4',
      'vSwitches[2].cidr4 10.9.0.0/24 does not lie in vpc.cidr4',
      'vSwitches[1].zone nowhere is not in zones',
    ],
  )
  assert.deepEqual(problems({ ...seed, vSwitches: [a, { ...b, cidr4: '10.1.0.0/24' }] }), [
    'vSwitches[1].cidr4 10.1.0.0/24 does not lie in vpc.cidr4',
  ])
  assert.deepEqual(problems({ ...seed, vSwitches: [{ ...a, cidr4: '10.0.0.1/24' }] }), ['vSwitches[0].cidr4 is no CIDR block: 10.0.0.1/24'])
  const rule = { direction: 'ingress', policy: 'accept', priority: 1, protocol: 'tcp', peer: { groupId: 'sg-2' } }
  assert.deepEqual(problems({ ...seed, securityGroups: [{ id: 'sg-1', rules: [rule] }] }), [
    'securityGroups[0].rules[0].peer.groupId sg-2 is not in securityGroups',
  ])
})
