// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EniView, FabricView } from '../model/view.ts'
import { gatewayOf } from './address.ts'
import { type Commands, plan } from './plan.ts'
import { desiredState, nothing, type Place } from './state.ts'

const vSwitch = { id: 'vsw-a', zoneId: 'zone-a', cidr4: '10.0.0.0/24', cidr6: 'fd00:0:0:1::/64' }
const primary: EniView = {
  id: 'eni-0',
  mac: '00:16:3e:00:00:01',
  vSwitchId: 'vsw-a',
  type: 'Primary',
  instanceId: 'i-1',
  ipv4: ['10.0.0.1'],
  ipv6: [],
  prefixes: [],
  securityGroupIds: ['sg-a'],
  sourceDestCheck: false,
  mtu: 1500,
}
const secondary: EniView = {
  ...primary,
  id: 'eni-1',
  mac: '00:16:3E:00:00:02',
  type: 'Secondary',
  ipv4: ['10.0.0.2', '10.0.0.3'],
  ipv6: ['fd00:0:0:1::3'],
  prefixes: ['10.0.0.16/28'],
  sourceDestCheck: true,
}
const group = { id: 'sg-a', intraGroup: true, rules: [] }
const view = (...enis: EniView[]): FabricView => ({
  vSwitches: [vSwitch],
  instances: [{ id: 'i-1', running: true }],
  enis,
  securityGroups: [group],
  eips: [],
  balancers: [],
})
const placed = new Map<string, Place>([['i-1', { netns: 'n1', configurePrimary: true }]])

const text = (c: Commands) =>
  [
    ...c.fabric.map(l => `ip ${l}`),
    ...[...c.machines].flatMap(([n, ls]) => ls.map(l => `${n}: ip ${l}`)),
    ...c.nft.map(l => `nft ${l}`),
  ].join('\n')

test('a primary ENI becomes eth0, configured as by DHCP', () => {
  const state = desiredState(view(primary), placed, nothing)
  assert.equal(
    text(plan(nothing, state)),
    `ip route replace blackhole 10.0.0.0/24
ip route replace blackhole fd00:0:0:1::/64
ip link add dev e00163e000001 address ee:ff:ff:ff:ff:ff mtu 1500 type veth peer name eth0 address 00:16:3e:00:00:01 mtu 1500 netns n1
ip link set dev e00163e000001 alias fabric:n1:eth0
ip link set dev e00163e000001 up
ip address replace 10.0.0.253/32 dev e00163e000001
ip address replace fd00::1:ffff:ffff:ffff:fffd/128 dev e00163e000001 nodad
ip ntable change name arp_cache dev e00163e000001 proxy_delay 0
ip neighbour replace 169.254.0.1 lladdr 00:16:3e:00:00:01 dev e00163e000001 nud permanent
ip neighbour replace fe80::1 lladdr 00:16:3e:00:00:01 dev e00163e000001 nud permanent
ip route replace 10.0.0.1/32 via 169.254.0.1 dev e00163e000001 onlink
n1: ip link set dev lo up
n1: ip link set dev eth0 up
n1: ip address replace 10.0.0.1/24 dev eth0
n1: ip route replace default via 10.0.0.253 dev eth0
nft add set inet fabric members4-sg-a { type ipv4_addr; flags interval; }
nft add set inet fabric members6-sg-a { type ipv6_addr; flags interval; }
nft add chain inet fabric in-sg-a
nft add chain inet fabric out-sg-a
nft add rule inet fabric in-sg-a ip saddr @members4-sg-a accept
nft add rule inet fabric in-sg-a ip6 saddr @members6-sg-a accept
nft add rule inet fabric in-sg-a counter drop
nft add element inet fabric ingress { "e00163e000001" : jump in-sg-a }
nft add element inet fabric egress { "e00163e000001" : jump out-sg-a }
nft add element inet fabric members4-sg-a { 10.0.0.1 }`,
  )
})

test('a hot-plugged ENI comes down and bare; only the difference is run', () => {
  const one = desiredState(view(primary), placed, nothing)
  const two = desiredState(view(primary, secondary), placed, one)
  assert.equal(
    text(plan(one, two)),
    `ip link add dev e00163e000002 address ee:ff:ff:ff:ff:ff mtu 1500 type veth peer name eth1 address 00:16:3E:00:00:02 mtu 1500 netns n1
ip link set dev e00163e000002 alias fabric:n1:eth1
ip link set dev e00163e000002 up
ip address replace 10.0.0.253/32 dev e00163e000002
ip address replace fd00::1:ffff:ffff:ffff:fffd/128 dev e00163e000002 nodad
ip ntable change name arp_cache dev e00163e000002 proxy_delay 0
ip neighbour replace 169.254.0.1 lladdr 00:16:3E:00:00:02 dev e00163e000002 nud permanent
ip neighbour replace fe80::1 lladdr 00:16:3E:00:00:02 dev e00163e000002 nud permanent
ip route replace 10.0.0.2/32 via 169.254.0.1 dev e00163e000002 onlink
ip route replace 10.0.0.3/32 via 169.254.0.1 dev e00163e000002 onlink
ip route replace fd00:0:0:1::3/128 via fe80::1 dev e00163e000002 onlink
ip route replace 10.0.0.16/28 via 169.254.0.1 dev e00163e000002 onlink
nft add element inet fabric ingress { "e00163e000002" : jump in-sg-a }
nft add element inet fabric egress { "e00163e000002" : jump out-sg-a }
nft add element inet fabric checked { "e00163e000002" }
nft add element inet fabric source4 { "e00163e000002" . 10.0.0.2, "e00163e000002" . 10.0.0.3, "e00163e000002" . 10.0.0.16/28 }
nft add element inet fabric source6 { "e00163e000002" . fd00:0:0:1::3 }
nft add element inet fabric members4-sg-a { 10.0.0.2, 10.0.0.3, 10.0.0.16/28 }
nft add element inet fabric members6-sg-a { fd00:0:0:1::3 }`,
  )
  assert.equal(text(plan(two, two)), '')
})

test('with IPv6 a primary ENI has one /128 behind the gateway, which a secondary of its vSwitch shares', () => {
  const one = desiredState(view({ ...primary, ipv6: ['fd00:0:0:1::1'] }), placed, nothing)
  assert.deepEqual(plan(nothing, one).machines.get('n1'), [
    'link set dev lo up',
    'link set dev eth0 up',
    'address replace 10.0.0.1/24 dev eth0',
    'address replace fd00:0:0:1::1/128 dev eth0 nodad',
    'route replace default via 10.0.0.253 dev eth0',
    'route replace fd00::1:ffff:ffff:ffff:fffd/128 dev eth0',
    'route replace default via fd00::1:ffff:ffff:ffff:fffd dev eth0',
  ])
  const two = desiredState(view({ ...primary, ipv6: ['fd00:0:0:1::1'] }, secondary), placed, one)
  assert.deepEqual(two.links.get('eni-1')?.gateways, two.links.get('eni-0')?.gateways)
  assert.equal(plan(one, two).machines.size, 0, 'a second ENI changes nothing of the first')
})

test('addresses come and go as single lines; a detached ENI takes its routes along', () => {
  const before = desiredState(view(primary, secondary), placed, nothing)
  const moved = { ...secondary, ipv4: ['10.0.0.2', '10.0.0.4'], ipv6: [], prefixes: [], sourceDestCheck: false }
  const after = desiredState(view(primary, moved), placed, before)
  assert.equal(
    text(plan(before, after)),
    `ip route del 10.0.0.3/32 dev e00163e000002
ip route del fd00:0:0:1::3/128 dev e00163e000002
ip route del 10.0.0.16/28 dev e00163e000002
ip route replace 10.0.0.4/32 via 169.254.0.1 dev e00163e000002 onlink
nft delete element inet fabric checked { "e00163e000002" }
nft delete element inet fabric source4 { "e00163e000002" . 10.0.0.2, "e00163e000002" . 10.0.0.3, "e00163e000002" . 10.0.0.16/28 }
nft delete element inet fabric source6 { "e00163e000002" . fd00:0:0:1::3 }
nft delete element inet fabric members4-sg-a { 10.0.0.3, 10.0.0.16/28 }
nft delete element inet fabric members6-sg-a { fd00:0:0:1::3 }
nft add element inet fabric members4-sg-a { 10.0.0.4 }`,
  )
  const detached = desiredState(view(primary), placed, after)
  assert.deepEqual(plan(after, detached).fabric, ['link del dev e00163e000002'])
})

test('an ENI keeps its eth<N>; a new one takes the lowest free number', () => {
  const eni = (n: number): EniView => ({
    ...secondary,
    id: `eni-${n}`,
    mac: `00:16:3e:00:00:0${n}`,
    ipv4: [`10.0.0.${n}`],
    ipv6: [],
    prefixes: [],
  })
  const three = desiredState(view(primary, eni(2), eni(3)), placed, nothing)
  const gap = desiredState(view(primary, eni(3)), placed, three)
  const refilled = desiredState(view(eni(4), eni(3), primary), placed, gap)
  const slots = [...refilled.links.values()].map(l => [l.eniId, l.end.kind === 'veth' ? l.end.slot : undefined])
  assert.deepEqual(
    new Map(slots as [string, number][]),
    new Map([
      ['eni-4', 1],
      ['eni-3', 2],
      ['eni-0', 0],
    ]),
  )
})

test('rules of all groups apply by priority, drop before accept, before the traffic inside the group', () => {
  const rule = {
    direction: 'ingress',
    policy: 'accept',
    priority: 1,
    protocol: 'tcp',
    ports: [80, 80],
    peer: { cidr: '0.0.0.0/0' },
  } as const
  const rules = [
    rule,
    { ...rule, policy: 'drop', ports: [80, 90] } as const,
    { ...rule, direction: 'egress', policy: 'drop', protocol: 'icmp', peer: { cidr: '10.0.9.0/24' } } as const,
  ]
  const groups = [
    { id: 'sg-a', intraGroup: true, rules },
    { id: 'sg-b', intraGroup: false, rules: [{ ...rule, priority: 50, protocol: 'all', peer: { groupId: 'sg-a' } } as const] },
  ]
  const state = desiredState({ ...view({ ...primary, securityGroupIds: ['sg-b', 'sg-a'] }), securityGroups: groups }, placed, nothing)
  assert.deepEqual(state.firewall.chains.get('in-sg-a.sg-b'), [
    'meta nfproto ipv4 tcp dport 80-90 counter drop',
    'meta nfproto ipv4 tcp dport 80 accept',
    'ip saddr @members4-sg-a accept',
    'ip6 saddr @members6-sg-a accept',
    'ip saddr @members4-sg-a accept',
    'ip6 saddr @members6-sg-a accept',
    'counter drop',
  ])
  assert.equal(state.firewall.chains.get('out-sg-a.sg-b')?.[0], 'ip daddr 10.0.9.0/24 meta l4proto icmp counter drop')
})

test('a member ENI is an 802.1Q device on the fabric end of its trunk', () => {
  const trunk: EniView = { ...secondary, type: 'Trunk' }
  const member: EniView = {
    ...secondary,
    id: 'eni-m',
    mac: '00:16:3e:00:00:09',
    type: 'Member',
    trunkEniId: 'eni-1',
    vlan: 7,
    ipv4: ['10.0.0.9'],
    ipv6: [],
    prefixes: [],
  }
  const before = desiredState(view(primary, trunk), placed, nothing)
  const lines = plan(before, desiredState(view(primary, trunk, member), placed, before)).fabric
  assert.equal(lines[0], 'link add link e00163e000002 dev e00163e000009 address ee:ff:ff:ff:ff:ff mtu 1500 type vlan id 7')
  assert.equal(lines.at(-1), 'route replace 10.0.0.9/32 via 169.254.0.1 dev e00163e000009 onlink')
})

test('a machine that is switched off loses its devices and gets them back in order', () => {
  const on = desiredState(view(primary, secondary), placed, nothing)
  const off = desiredState(view(primary, secondary), new Map(), on)
  assert.deepEqual(plan(on, off).fabric, ['link del dev e00163e000002', 'link del dev e00163e000001'])
  assert.deepEqual(
    plan(off, desiredState(view(primary, secondary), placed, off)).fabric,
    plan({ ...nothing, blackholes: on.blackholes }, on).fabric,
  )
})

test('a balancer is an address of the fabric, and per listener a choice among the targets of its family, for whom it may; without one packets vanish', () => {
  const listener = { protocol: 'tcp', port: 80, targets: [{ ip: '10.0.0.1', port: 30080 }] } as const
  const balancer = { id: 'nlb-1', addresses: ['10.0.0.9', 'fd00:0:0:1::9'], listeners: [listener] }
  const none = desiredState(view(primary), placed, nothing)
  const one = desiredState({ ...view(primary), balancers: [balancer] }, placed, none)
  assert.equal(
    text(plan(none, one)),
    `ip address replace 10.0.0.9/32 dev lo
ip address replace fd00:0:0:1::9/128 dev lo nodad
nft add chain inet fabric nlb-1-4-tcp-80
nft add chain inet fabric nlb-1-6-tcp-80
nft add rule inet fabric nlb-1-4-tcp-80 meta l4proto tcp dnat ip addr . port to numgen random mod 1 map { 0 : 10.0.0.1 . 30080 }
nft add rule inet fabric nlb-1-6-tcp-80 counter drop
nft add element inet fabric listeners4 { 10.0.0.9 . tcp . 80 : jump nlb-1-4-tcp-80 }
nft add element inet fabric listeners6 { fd00:0:0:1::9 . tcp . 80 : jump nlb-1-6-tcp-80 }`,
  )
  const targets = [...listener.targets, { ip: '10.0.0.2', port: 30080 }]
  const two = desiredState({ ...view(primary), balancers: [{ ...balancer, listeners: [{ ...listener, targets }] }] }, placed, one)
  assert.equal(
    text(plan(one, two)),
    `nft flush chain inet fabric nlb-1-4-tcp-80
nft add rule inet fabric nlb-1-4-tcp-80 meta l4proto tcp dnat ip addr . port to numgen random mod 2 map { 0 : 10.0.0.1 . 30080, 1 : 10.0.0.2 . 30080 }`,
  )
  const sources = ['198.51.100.0/24', '192.0.2.7/32', 'fd00:9::/64']
  const limited = desiredState({ ...view(primary), balancers: [{ ...balancer, listeners: [{ ...listener, sources }] }] }, placed, one)
  assert.equal(
    text(plan(one, limited)),
    `nft flush chain inet fabric nlb-1-4-tcp-80
nft add rule inet fabric nlb-1-4-tcp-80 ip saddr != { 198.51.100.0/24, 192.0.2.7/32 } counter drop
nft add rule inet fabric nlb-1-4-tcp-80 meta l4proto tcp dnat ip addr . port to numgen random mod 1 map { 0 : 10.0.0.1 . 30080 }`,
  )
  assert.equal(
    text(plan(one, none)),
    `ip address del 10.0.0.9/32 dev lo
ip address del fd00:0:0:1::9/128 dev lo
nft delete element inet fabric listeners4 { 10.0.0.9 . tcp . 80 : jump nlb-1-4-tcp-80 }
nft delete element inet fabric listeners6 { fd00:0:0:1::9 . tcp . 80 : jump nlb-1-6-tcp-80 }
nft delete chain inet fabric nlb-1-4-tcp-80
nft delete chain inet fabric nlb-1-6-tcp-80`,
  )
})

test('gateways are the third-last address', () => {
  assert.equal(gatewayOf('10.0.0.0/24'), '10.0.0.253')
  assert.equal(gatewayOf('192.168.16.0/20'), '192.168.31.253')
  assert.equal(gatewayOf('2001:db8::/64'), '2001:db8::ffff:ffff:ffff:fffd')
})
