// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Cloud, VSwitch } from '#cloud/port.ts'
import { makeVSwitchCache } from '#controller/vswitch/cache.ts'
import { selectVSwitches, vSwitchFaults } from '#controller/vswitch/select.ts'
import { realClock } from '#lib/clock.ts'
import { parseCidr } from '#net/cidr.ts'
import type { Stack } from '#net/stack.ts'

const vsw = (id: string, availableIpCount: number, zoneId = 'a'): VSwitch => ({
  id,
  zoneId,
  availableIpCount,
  cidr4: parseCidr('10.0.0.0/24'),
})

function setUp(count: number) {
  let now = 0
  let asked = 0
  const cloud: Pick<Cloud, 'describeVSwitch'> = {
    describeVSwitch: id => {
      asked++
      return Promise.resolve(id === 'none' ? undefined : vsw(id, count))
    },
  }
  const cache = makeVSwitchCache(cloud, { ...realClock, now: () => now })
  return { cache, asked: () => asked, pass: (ms: number) => (now += ms) }
}

test('a vSwitch is read once, by however many ask; one that does not exist is left out', async () => {
  const { cache, asked } = setUp(100)
  const [first] = await Promise.all([cache.get(['a', 'none']), cache.get(['a'])])
  assert.deepEqual(
    first?.map(v => v.id),
    ['a'],
  )
  await cache.get(['a'])
  assert.equal(asked(), 2)
})

test('a blocked one is empty for a while, then read again', async () => {
  const { cache, asked, pass } = setUp(100)
  await cache.get(['a'])
  cache.block('a', 4)
  assert.equal((await cache.get(['a']))[0]?.availableIpCount, 0)
  pass(10_000)
  assert.equal((await cache.get(['a']))[0]?.availableIpCount, 100)
  assert.equal(asked(), 2)
})

test('one without IPv6 addresses keeps its IPv4 count, and is read again as soon', async () => {
  const { cache, asked, pass } = setUp(100)
  await cache.get(['a'])
  cache.block('a', 6)
  assert.partialDeepStrictEqual(await cache.get(['a']), [{ availableIpCount: 100, ipv6Exhausted: true }])
  cache.used('a', 1)
  assert.partialDeepStrictEqual(await cache.get(['a']), [{ availableIpCount: 99, ipv6Exhausted: true }])
  pass(10_000)
  assert.deepEqual([(await cache.get(['a']))[0]?.ipv6Exhausted, asked()], [undefined, 2])
})

test('a count that our own use has run down is not believed for long', async () => {
  const { cache, pass } = setUp(100)
  await cache.get(['a'])
  cache.used('a', 95)
  assert.equal((await cache.get(['a']))[0]?.availableIpCount, 5)
  pass(10_000)
  assert.equal((await cache.get(['a']))[0]?.availableIpCount, 100)
})

test('the order of vSwitches: listed, by free addresses, shuffled; only those of the zone', () => {
  const known = [vsw('x', 1), vsw('y', 9), vsw('z', 5, 'b')]
  const ids = (policy: 'ordered' | 'most' | 'random', random = () => 0.5) =>
    selectVSwitches(['x', 'y', 'z'], known, 'a', policy, random).map(v => v.id)
  assert.deepEqual(ids('ordered'), ['x', 'y'])
  assert.deepEqual(ids('most'), ['y', 'x'])
  let n = 1
  assert.deepEqual(
    ids('random', () => n--),
    ['y', 'x'],
  )
})

test('what is wrong with a listed vSwitch, and the way out', () => {
  const known = [vsw('x', 1), { ...vsw('y', 1), cidr6: parseCidr('2001:db8::/64') }, vsw('z', 1, 'b')]
  const faults = (stack: Stack) => vSwitchFaults('n', ['x', 'y', 'z', 'none'], known, 'a', stack)
  const always = [
    'vSwitch z is in zone b, the node in a: correct vswitches in eni_conf',
    'vSwitch none does not exist: correct vswitches in eni_conf',
  ]
  assert.deepEqual(faults('ipv4'), always)
  assert.deepEqual(faults('dual'), [
    'vSwitch x has no IPv6 CIDR block, which ip_stack dual needs: turn IPv6 on for it, or list another one in eni_conf',
    ...always,
  ])
})
