// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Service } from '#kube/reflect/service.ts'
import { service } from '../../../test/support/service-objects.ts'
import { Claims } from './claims.ts'

const at = (n: number, created = n) => service(`d/s${n}`, {}, { created: new Date(created * 1000).toISOString() })

test('an address is of the oldest one that wants it, and each change of hands is told once', () => {
  const claims = new Claims()
  const step = (change: () => void) => {
    change()
    return [claims.takeChanged().join(), claims.winner('x') ?? 'nobody']
  }
  assert.deepEqual(
    step(() => claims.set('x', at(5))),
    ['x', 'd/s5'],
  )
  assert.deepEqual(
    step(() => claims.set('x', at(7))),
    ['', 'd/s5'],
  )
  assert.deepEqual(
    step(() => claims.set('x', at(3))),
    ['x', 'd/s3'],
  )
  // Made anew under the same name: it is the youngest now.
  assert.deepEqual(
    step(() => claims.set('x', at(3, 9))),
    ['x', 'd/s5'],
  )
  assert.deepEqual(
    step(() => claims.delete('x', 'd/s7')),
    ['', 'd/s5'],
  )
  assert.deepEqual(
    step(() => {
      claims.delete('x', 'd/s5')
      claims.set('x', at(5))
    }),
    ['', 'd/s5'],
  )
  assert.deepEqual(
    step(() => claims.delete('x', 'd/s5')),
    ['x', 'd/s3'],
  )
  assert.deepEqual(
    step(() => claims.delete('x', 'd/s3')),
    ['x', 'nobody'],
  )
  assert.deepEqual([...claims.claimants('x')], [])
})

test('of a thousand that want one address, one that changes asks the age of few', () => {
  let asked = 0
  const counted = (s: Service): Service => ({
    ...s,
    get metadata() {
      asked++
      return s.metadata
    },
  })
  const claims = new Claims()
  for (let n = 0; n < 1000; n++) claims.set('x', counted(at(n)))
  claims.takeChanged()
  asked = 0
  claims.delete('x', 'd/s500')
  claims.set('x', counted(at(500)))
  assert.deepEqual([claims.takeChanged(), claims.winner('x')], [[], 'd/s0'])
  assert.ok(asked < 20, `asked ${asked} times`)
})
