// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findEni } from '#datapath/eni.ts'
import { parseIfName } from '#kernel/names.ts'
import type { LinkState, NsState, RouteState } from '#kernel/state.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIp } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import { emptyNamespace } from '../../test/support/empty-namespace.ts'

const macOf = (n: number) => parseMac(`00:16:3e:00:00:0${n}`)
const device = (n: number): LinkState => ({ name: parseIfName(`eth${n}`), index: 2 + n, mac: macOf(n), mtu: 1500, up: true })
const addr = (n: number, ip: string, more = {}): NsState['addrs'][number] => ({
  ifIndex: 2 + n,
  address: parseIp(ip),
  prefix: 64,
  scope: 'global',
  secondary: false,
  ...more,
})
const via = (n: number, gateway: string, more: Partial<RouteState> = {}): RouteState => ({
  table: 254,
  dst: parseCidr(gateway.includes(':') ? '::/0' : '0.0.0.0/0'),
  ifIndex: 2 + n,
  via: parseIp(gateway),
  scope: 'global',
  onlink: false,
  priority: 0,
  ...more,
})
const [own4, own6, other6] = [addr(0, '192.0.2.10'), addr(0, '2001:db8:1::10'), addr(1, 'fd00:1::7')]

/** What is known of eth1 on such a node: the uplink, and the addresses that it shall carry. */
function facts(routes: readonly RouteState[], addrs: NsState['addrs'] = [own4, own6, other6]): string {
  const host: NsState = {
    ...emptyNamespace,
    ns: 'host',
    links: [device(1), device(0)],
    addrs,
    routes,
  }
  const { uplink, hostIps = [] } = findEni(macOf(1), host) ?? {}
  return [uplink ?? 'none', ...hostIps].join(' ')
}

test("the node's own device is that of the IPv4 default route, wherever one of IPv6 leads", () => {
  const all = 'eth0 192.0.2.10 2001:db8:1::10'
  assert.equal(facts([via(0, '192.0.2.1'), via(0, 'fe80::1')]), all)
  assert.equal(facts([via(0, '192.0.2.1'), via(1, 'fe80::1')]), all, 'an advertisement that came over the ENI')
  assert.equal(facts([via(0, '192.0.2.1')]), all)
  assert.equal(facts([via(1, '192.0.2.2', { priority: 100 }), via(0, '192.0.2.1')]), all)
  assert.equal(facts([via(0, 'fe80::1')], [own6, other6]), 'eth0 2001:db8:1::10')
  assert.equal(facts([via(1, '10.0.1.253')]), 'eth1 fd00:1::7')
  assert.equal(facts([]), 'none')
})

test('the node speaks from the address that its route names, else from its first lasting global one', () => {
  const addrs = [own4, addr(0, '2001:db8:1::abcd', { secondary: true }), addr(0, 'fe80::5', { scope: 'link' }), own6]
  assert.equal(facts([via(0, '192.0.2.1')], addrs), 'eth0 192.0.2.10 2001:db8:1::10')
  assert.equal(facts([via(0, '192.0.2.1', { prefSrc: parseIp('192.0.2.11') })], addrs), 'eth0 192.0.2.11 2001:db8:1::10')
  assert.equal(facts([via(0, '192.0.2.1')], [own4]), 'eth0 192.0.2.10')
})
