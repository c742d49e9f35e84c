// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Attrs, Body } from '#kernel/netlink/attr.ts'
import type { Message } from '#kernel/netlink/conn.ts'
import { readHeader, writeHeader } from '#kernel/netlink/header.ts'
import { PrefixFilter } from '#kernel/netlink/prefix-filter.ts'
import { parseRoute } from '#kernel/netlink/route.ts'
import { parseRule } from '#kernel/netlink/rule.ts'
import { parseCidr } from '#net/cidr.ts'

function message(body: Body): Message {
  const data = Buffer.from(body.bytes())
  return { header: { length: 16 + data.length, type: 0, flags: 0, sequence: 0, portId: 0 }, data, start: 0, end: data.length }
}

test('attributes are padded to four bytes, nests carry their whole length', () => {
  const body = new Body().attrString(3, 'eth0').nest(18, b => b.attrU32(1, 0x01020304).attr(2, Uint8Array.of(0xaa)))
  assert.equal(body.bytes().toString('hex'), '09000300' + '6574683000000000' + '14001280' + '0800010004030201' + '05000200aa000000')
})

test('what was written is read back, whatever its length', () => {
  for (let n = 0; n < 40; n++) {
    const text = 'x'.repeat(n * 31)
    const bytes = new Body()
      .attrU32(1, n)
      .nest(2, b => b.attrString(5, text).attrU64(6, 2n ** 40n + BigInt(n)))
      .bytes()
    const attrs = new Attrs(bytes, 0, bytes.length)
    assert.ok(attrs.next())
    assert.deepEqual([attrs.type, attrs.u32()], [1, n])
    assert.ok(attrs.next())
    assert.equal(attrs.type, 2)
    const inner = attrs.nested()
    assert.ok(inner.next())
    assert.equal(inner.string(), text)
    assert.ok(inner.next())
    assert.equal(inner.u64(), 2n ** 40n + BigInt(n))
    assert.ok(!inner.next())
    assert.ok(!attrs.next())
  }
})

test('an attribute that ends outside its message is refused', () => {
  for (const hex of ['0300010000', '0900010000000000', 'ffff0100']) {
    const data = Buffer.from(hex, 'hex')
    assert.throws(() => new Attrs(data, 0, data.length).next(), RangeError)
  }
})

test('headers are read back', () => {
  const header = { length: 20, type: 16, flags: 0x605, sequence: 4_000_000_000, portId: 77 }
  const data = Buffer.alloc(16)
  writeHeader(data, header)
  assert.deepEqual(readHeader(data, 0), header)
})

/** struct fib_rule_hdr of IPv4, then attributes. */
function rule(dstLength: number, srcLength: number, { tos = 0, action = 1, flags = 0 } = {}): Body {
  return new Body().u8(2, dstLength, srcLength, tos, 254, 0, 0, action).u32(flags)
}
const address = Uint8Array.of(10, 0, 0, 1)

test('a rule counts as plain only when nothing but its prefixes selects', () => {
  const plain = () => rule(32, 0).attr(1, address).attrU32(6, 512).attrU32(15, 254).attrU32(14, 0xffffffff).attr(21, Uint8Array.of(3))
  assert.deepEqual(parseRule(message(plain())), { family: 4, priority: 512, table: 254, to: '10.0.0.1/32' })
  for (const [what, body] of [
    ['iif', plain().attrString(3, 'eth0')],
    ['oif', plain().attrString(17, 'eth0')],
    ['fwmark', plain().attrU32(10, 1)],
    ['suppressed prefixes', plain().attrU32(14, 0)],
    ['attribute of a later kernel', plain().attrU32(99, 1)],
    ['tos', rule(32, 0, { tos: 4 }).attr(1, address).attrU32(6, 512)],
    ['blackhole', rule(32, 0, { action: 6 }).attr(1, address).attrU32(6, 512)],
    ['not', rule(32, 0, { flags: 2 }).attr(1, address).attrU32(6, 512)],
  ] as const) {
    assert.equal(parseRule(message(body)), undefined, what)
  }
})

test('rules and routes are told apart by prefix before they become text', () => {
  const wanted = new PrefixFilter([parseCidr('10.0.0.1/32'), parseCidr('0.0.0.0/0')])
  const from = rule(0, 32).attr(2, address).attrU32(6, 2048).attrU32(15, 1007)
  assert.deepEqual(parseRule(message(from), [2048], wanted), { family: 4, priority: 2048, table: 1007, from: '10.0.0.1/32' })
  assert.equal(parseRule(message(from), [512], wanted), undefined)
  assert.equal(parseRule(message(from), [2048], new PrefixFilter([parseCidr('10.0.0.2/32')])), undefined)

  const route = (length: number, dst?: Uint8Array) => {
    const body = new Body().u8(2, length, 0, 0, 254, 3, 253, 1).u32(0).attrU32(4, 7)
    return dst === undefined ? body : body.attr(1, dst)
  }
  assert.equal(parseRoute(message(route(32, address)), wanted)?.dst, '10.0.0.1/32')
  assert.equal(parseRoute(message(route(0)), wanted)?.dst, '0.0.0.0/0')
  assert.equal(parseRoute(message(route(24, address)), wanted), undefined)
})
