// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDestination, parsePod, parseProtocol } from '#cli/path-destination.ts'

const parsed = (text: string, ...more: Parameters<typeof parseProtocol> | []) => {
  const { text: _, ...rest } = parseDestination(text, ...(more[0] === undefined ? [] : [parseProtocol(more[0])]))
  return rest
}

test('what a user has in hand', () => {
  const of = (kind: string, more: object) => ({ kind, ...more })
  const web = { namespace: 'shop', name: 'web' }
  for (const [text, wanted] of [
    ['10.0.0.1', of('address', { ip: '10.0.0.1' })],
    ['fd00::1', of('address', { ip: 'fd00::1' })],
    ['[fd00::1]', of('address', { ip: 'fd00::1' })],
    ['10.0.0.1:80', of('address', { ip: '10.0.0.1', port: 80 })],
    ['[fd00::1]:443', of('address', { ip: 'fd00::1', port: 443 })],
    ['udp://10.0.0.1:53', of('address', { ip: '10.0.0.1', port: 53, protocol: 'udp' })],
    ['icmp://fd00::1', of('address', { ip: 'fd00::1', protocol: 'icmp' })],
    ['HTTPS://10.0.0.1/a/b', of('address', { ip: '10.0.0.1', port: 443, protocol: 'tcp' })],
    ['http://web.shop:8080/', of('name', { name: 'web.shop', service: web, port: 8080, protocol: 'tcp' })],
    ['shop/web', of('pod', web)],
    ['pod/shop/web:8080', of('pod', { ...web, port: 8080 })],
    ['svc/shop/web', of('service', web)],
    ['udp://service/shop/web:53', of('service', { ...web, port: 53, protocol: 'udp' })],
    ['web.shop.svc.cluster.local:80', of('name', { name: 'web.shop.svc.cluster.local', service: web, port: 80 })],
    ['node/cn-hangzhou.10.0.0.5:22', of('node', { name: 'cn-hangzhou.10.0.0.5', port: 22 })],
    ['worker-1', of('node', { name: 'worker-1' })],
  ] as const)
    assert.deepEqual(parsed(text), wanted, text)
  assert.deepEqual(parsed('10.0.0.1:53', 'UDP'), of('address', { ip: '10.0.0.1', port: 53, protocol: 'udp' }))
  assert.deepEqual(parsed('tcp://10.0.0.1:53', 'tcp'), of('address', { ip: '10.0.0.1', port: 53, protocol: 'tcp' }))
})

test('each mistake is named, with the way out', () => {
  for (const [text, why] of [
    ['', /destination "": name it as an address \(10\.0\.0\.1, .*node\/name:80\)/],
    ['10.0.0.300', /10\.0\.0\.300 is no address/],
    ['[fd00::x]:80', /name it as an address/],
    ['10.0.0.1:0', /0 is no port: 1 to 65535 are/],
    ['10.0.0.1:', /nothing is no port/],
    ['shop/web:http', /http is no port/],
    ['svc/web', /it has no namespace: svc\/namespace\/web/],
    ['a/b/c', /name it as an address/],
    ['ftp://10.0.0.1', /nothing is known of ftp:\/\//],
    ['icmp://10.0.0.1:80', /ICMP has no ports/],
    ['we b', /name it as/],
  ] as const)
    assert.throws(() => parseDestination(text), { code: 'bad-argument', message: why }, text)
  assert.throws(() => parseDestination('udp://10.0.0.1:53', 'tcp'), /it says udp, and --protocol says tcp/)
  assert.throws(() => parseProtocol('sctp'), /--protocol is tcp, udp, icmp, not sctp/)
})

test('a pod has a namespace', () => {
  assert.deepEqual(['shop/web', 'pod/shop/web'].map(parsePod), Array(2).fill({ namespace: 'shop', name: 'web' }))
  assert.throws(() => parsePod('web'), /the pod "web": name it as namespace\/name, as default\/web/)
  assert.throws(() => parsePod('a/b/c'), { code: 'bad-argument' })
})
