// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generator } from '../fault.ts'
import { formatAddress, parseBlock } from './address.ts'
import { AddressBook } from './book.ts'

function bookOf(cidr: string): AddressBook {
  const block = parseBlock(cidr)
  assert.ok(block !== undefined)
  return new AddressBook(block)
}

test('the first and the last three addresses are never handed out', () => {
  const book = bookOf('10.0.0.0/29')
  assert.equal(book.available, 4)
  assert.deepEqual(book.free(10), ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'])
  for (const ip of ['10.0.0.0', '10.0.0.5', '10.0.0.6', '10.0.0.7']) assert.equal(book.refusal(ip), 'reserved', ip)
  assert.equal(book.refusal('10.0.0.8'), 'outside')
  assert.equal(book.refusal('10.0.0'), 'malformed')
  assert.equal(book.refusal('::1'), 'malformed')
})

test('an IPv6 block is accounted in the same way', () => {
  const book = bookOf('fd00::/64')
  assert.deepEqual(book.free(2), ['fd00::1', 'fd00::2'])
  assert.equal(book.refusal('fd00::ffff:ffff:ffff:fffd'), 'reserved')
  book.take('fd00:0:0:0::1', 'eni-1')
  assert.equal(book.holder('fd00::1'), 'eni-1')
  assert.deepEqual(book.free(1), ['fd00::2'])
})

test('agrees with a naive list over random takes and releases', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = generator(seed)
    const book = bookOf('10.0.0.0/27')
    const usable = Array.from({ length: 28 }, (_, i) => formatAddress(0x0a000001n + BigInt(i), 4))
    const held = new Map<string, string>()
    for (let step = 0; step < 400; step++) {
      const ip = usable[Math.floor(random() * usable.length)] ?? ''
      if (random() < 0.55 && !held.has(ip)) {
        book.take(ip, `eni-${step}`)
        held.set(ip, `eni-${step}`)
      } else {
        book.release(ip)
        held.delete(ip)
      }
      const count = Math.floor(random() * 30)
      const naive = usable.filter(one => !held.has(one))
      assert.deepEqual(book.free(count), naive.slice(0, count), `seed ${seed} step ${step}`)
      assert.equal(book.available, naive.length)
      assert.equal(book.holder(ip), held.get(ip))
    }
  }
})
