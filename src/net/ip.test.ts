// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { isIPv4, isIPv6 } from 'node:net'
import { test } from 'node:test'
import {
  compareIp,
  familyOf,
  fromBigInt,
  fromBytes,
  parseIp,
  parseIpv4,
  parseIpv6,
  toBigInt,
  toBytes,
  tryParseIp,
  tryParseLegacyIp,
  withPort,
} from '#net/ip.ts'

test('parses to canonical text', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['10.0.0.1', '10.0.0.1'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['fe80::', 'fe80::'],
    ['::', '::'],
    ['2001:db8:0:1:0:0:0:1', '2001:db8:0:1::1'],
  ]
  for (const [text, want] of cases) assert.equal(parseIp(text), want)
})

test('refuses what is not exactly one address', () => {
  for (const text of [
    '',
    '10.0.0',
    '10.0.0.256',
    '010.0.0.1',
    '0x0a.0.0.1',
    '10.0.0.1 ',
    '10.0.0.1/32',
    'fe80::1%eth0',
    ':::',
    'localhost',
  ])
    assert.equal(tryParseIp(text), undefined, text)
  assert.throws(() => parseIpv4('::1'), /not an IPv4/)
  assert.throws(() => parseIpv6('10.0.0.1'), /not an IPv6/)
})

test('old fields of Kubernetes: zeros in front are decimal, a mapped address is the IPv4 one', () => {
  const read = ['10.0.0.1', '010.001.00.09', '::ffff:10.0.0.1', '::ffff:010.0.0.8', '::FFFF:0a00:0001', 'FD00:0010::01', '::ffff:0:1', '::']
  assert.deepEqual(read.map(tryParseLegacyIp), [
    ...['10.0.0.1', '10.1.0.9', '10.0.0.1', '10.0.0.8', '10.0.0.1', 'fd00:10::1', '0.0.0.1', '::'],
  ])
  for (const text of ['', '10.0.0', '10.0.0.256', '10.0.0.1/8', 'fe80::1%eth0', 'a', '0x10.0.0.1'])
    assert.equal(tryParseLegacyIp(text), undefined, text)
})

test('agrees with the platform on random text', () => {
  const alphabet = '0123456789abcdef.:'
  let seed = 7
  const next = (n: number) => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    return seed % n
  }
  for (let i = 0; i < 20000; i++) {
    const text = Array.from({ length: 2 + next(14) }, () => alphabet[next(alphabet.length)]).join('')
    assert.equal(tryParseIp(text) !== undefined, isIPv4(text) || isIPv6(text), text)
  }
})

test('bytes and numbers round-trip', () => {
  for (const text of ['0.0.0.0', '255.255.255.255', '10.1.2.3', '::', 'ffff::1', '2001:db8::a:b']) {
    const ip = parseIp(text)
    assert.equal(fromBytes(toBytes(ip)), ip)
    assert.equal(fromBigInt(toBigInt(ip), familyOf(ip)), ip)
  }
})

test('orders by family, then as numbers', () => {
  const sorted = ['::2', '10.0.0.10', '10.0.0.9', '::1'].map(parseIp).sort(compareIp)
  assert.deepEqual(sorted, ['10.0.0.9', '10.0.0.10', '::1', '::2'])
})

test('a port behind an address or a name', () => {
  const written = [withPort('10.0.0.1', 80), withPort('fd00::1', 80), withPort('api.example', '6443')]
  assert.deepEqual(written, ['10.0.0.1:80', '[fd00::1]:80', 'api.example:6443'])
})
