// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  addressAt,
  baseOf,
  contains,
  familyOfCidr,
  gatewayOf,
  hostCidr,
  parseCidr,
  prefixLength,
  sizeOf,
  tryParseLegacyCidr,
} from '#net/cidr.ts'
import { parseIp } from '#net/ip.ts'

test('clears host bits and keeps the length', () => {
  assert.equal(parseCidr('10.0.0.7/24'), '10.0.0.0/24')
  assert.equal(parseCidr('2001:db8::ffff/112'), '2001:db8::/112')
  assert.equal(parseCidr('10.0.0.7/0'), '0.0.0.0/0')
  assert.equal(prefixLength(parseCidr('10.0.0.0/20')), 20)
  assert.equal(baseOf(parseCidr('10.0.0.0/20')), '10.0.0.0')
})

test('names what is wrong', () => {
  for (const text of ['10.0.0.0', '10.0.0.0/', '10.0.0.0/33', '::/129', '10.0.0.0/8/8', '10.0.0.0/-1', '10.0.0.0/ 8', 'x/8'])
    assert.throws(() => parseCidr(text), /not a CIDR|over 32|over 128|not an IP/, text)
})

test('old fields of Kubernetes: the address may be written as there', () => {
  const read = ['10.1.2.3/8', '010.0.0.0/08', '::ffff:10.1.2.3/104', '::/0', 'fd00:0010::1/64']
  assert.deepEqual(read.map(tryParseLegacyCidr), ['10.0.0.0/8', '10.0.0.0/8', '10.0.0.0/8', '::/0', 'fd00:10::/64'])
  for (const text of ['', '10.0.0.1', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/8/8', '::/129', '::ffff:10.0.0.0/95', 'a/8'])
    assert.equal(tryParseLegacyCidr(text), undefined, text)
})

test('contains, per family', () => {
  const c = parseCidr('10.0.0.0/30')
  assert.deepEqual(
    ['9.255.255.255', '10.0.0.0', '10.0.0.3', '10.0.0.4', '::a00:1'].map(ip => contains(c, parseIp(ip))),
    [false, true, true, false, false],
  )
  assert.ok(contains(parseCidr('::/0'), parseIp('ffff::')))
})

test('the gateway is the third-last address of the vSwitch', () => {
  assert.equal(gatewayOf(parseCidr('10.0.1.0/24')), '10.0.1.253')
  assert.equal(gatewayOf(parseCidr('10.0.0.0/20')), '10.0.15.253')
  assert.equal(gatewayOf(parseCidr('2408:4000::/64')), '2408:4000::ffff:ffff:ffff:fffd')
})

test('offsets count from both ends and stay inside', () => {
  const c = parseCidr('10.0.1.0/29')
  assert.equal(sizeOf(c), 8n)
  assert.equal(addressAt(c, 0n), '10.0.1.0')
  assert.equal(addressAt(c, -1n), '10.0.1.7')
  assert.throws(() => addressAt(c, 8n), /no address/)
  assert.throws(() => addressAt(c, -9n), /no address/)
})

test('a host prefix holds exactly its address', () => {
  assert.equal(hostCidr(parseIp('10.0.0.1')), '10.0.0.1/32')
  assert.equal(hostCidr(parseIp('::1')), '::1/128')
  assert.equal(familyOfCidr(hostCidr(parseIp('::1'))), 6)
})
