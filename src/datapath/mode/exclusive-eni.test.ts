// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ExclusiveEniAttachment } from '#datapath/attachment.ts'
import { diff } from '#datapath/diff.ts'
import { type ExclusiveEniFacts, peerName, plan } from '#datapath/mode/exclusive-eni.ts'
import { newMacs, recognisePair } from '#datapath/veth.ts'
import { exclusiveWithdrawal } from '#datapath/withdraw.ts'
import { type IfName, type Netns, parseIfName, parseNetnsPath } from '#kernel/names.ts'
import { formatOp } from '#kernel/op.ts'
import type { LinkState, NsState } from '#kernel/state.ts'
import { type Cidr, hostCidr, parseCidr } from '#net/cidr.ts'
import { type Ip, parseIp, parseIpv4, parseIpv6 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import { emptyNamespace } from '../../../test/support/empty-namespace.ts'

const netns = parseNetnsPath('/run/netns/pod5')
const [cali, eth0, eth1, eth7] = (['cali0d7763386da', 'eth0', 'eth1', 'eth7'] as const).map(parseIfName) as [IfName, IfName, IfName, IfName]
const mac = parseMac('00:16:3e:00:00:01')
const v4 = { address: parseIpv4('10.0.1.5'), subnet: parseCidr('10.0.1.0/24'), gateway: parseIpv4('10.0.1.253') }
const v6 = { address: parseIpv6('fd00:1::5'), subnet: parseCidr('fd00:1::/64'), gateway: parseIpv6('fd00:1::fd') }
const base = {
  kind: 'exclusive-eni',
  containerId: 'c5',
  netns,
  ifName: eth0,
  hostIfName: cali,
  mtu: 1500,
  eni: { eniId: 'eni-1', mac, gateway4: v4.gateway, gateway6: v6.gateway },
  defaultRoute: true,
  extraRoutes: [],
  hostRoutes: [parseCidr('10.96.0.0/16'), parseCidr('169.254.20.10/32'), parseCidr('fd00:96::/112')],
  hostPeer: true,
} as const satisfies ExclusiveEniAttachment
const pod4: ExclusiveEniAttachment = { ...base, v4 }
const pod6: ExclusiveEniAttachment = { ...base, v6 }
const ends = { ...base, ifName: peerName }
const macs = newMacs(ends)
const nodeIps = [parseIpv4('192.0.2.10'), parseIpv6('2001:db8:1::10')]

function state(ns: Netns, more: Partial<NsState> = {}): NsState {
  return { ...emptyNamespace, ns, ...more }
}

function link(name: IfName, index: number, more: Partial<LinkState> = {}): LinkState {
  return { name, index, mtu: 1500, up: true, ...more }
}

const outside = link(eth1, 7, { mac })
const inside = link(eth0, 7, { mac, alias: 'terway:c5/eth1' })
const hostEnd = link(cali, 20, { mac: macs.hostMac, alias: 'c5', kind: 'veth', peerIndex: 2, peerNsid: 4 })
const podEnd = link(peerName, 2, { mac: macs.podMac, kind: 'veth', peerIndex: 20, peerNsid: 0 })
const globalAddr = (ifIndex: number, address: Ip) => ({ ifIndex, address, prefix: 32, scope: 'global', secondary: false }) as const
const route = (ifIndex: number, dst: Cidr, via?: Ip) =>
  ({ table: 254, dst, ifIndex, scope: via === undefined ? 'link' : 'global', onlink: false, priority: 0, ...(via && { via }) }) as const
const link4 = parseIp('169.254.1.1')

/** The host and the pod when everything of `pod4` is in place. */
const settledHost = state('host', { links: [hostEnd], routes: [route(20, hostCidr(v4.address))], nsids: { [netns]: 4 } })
const settledPod = state(netns, {
  links: [inside, podEnd],
  addrs: [globalAddr(7, v4.address), globalAddr(2, v4.address)],
  neighs: [{ ifIndex: 2, ip: link4, mac: macs.hostMac, permanent: true }],
  routes: [
    route(7, '0.0.0.0/0' as Cidr, v4.gateway),
    route(2, hostCidr(link4)),
    ...['10.96.0.0/16', '169.254.20.10/32', '192.0.2.10/32'].map(dst => route(2, parseCidr(dst), link4)),
  ],
})

/** What an operator would type to bring about `a`; `pod#` stands for being in the pod's namespace, cali0 for the host end. */
function commands(a: ExclusiveEniAttachment, host: NsState, pod: NsState, more: Partial<ExclusiveEniFacts> = {}): string[] {
  const pair = a.hostPeer ? recognisePair(ends, host, pod) : undefined
  const found = pod.links.find(l => l.mac === mac)
  const facts: ExclusiveEniFacts = {
    device: found === undefined ? { ns: 'host', link: outside } : { ns: netns, link: found },
    home: eth1,
    strangers: [],
    hostMac: pair?.hostMac ?? macs.hostMac,
    peerMac: pair?.podMac ?? macs.podMac,
    uplink: eth0,
    nodeIps,
    ...more,
  }
  return diff(plan(a, facts), { host, pod }, pair)
    .map(formatOp)
    .map(line => line.replace(`nsenter --net=${netns}`, 'pod#').replaceAll(cali, 'cali0'))
}

/** On a node where nothing is done yet; keys of all devices exist with other values. */
function fromNothing(a: ExclusiveEniAttachment): string[] {
  const sysctls = new Proxy<Record<string, string>>({}, { get: () => '?' })
  return commands(a, state('host', { links: [outside], sysctls }), state(netns, { sysctls }))
}

test("IPv4: the ENI's device becomes the pod's, and a pair beside it leads to the host stack", () => {
  assert.deepEqual(fromNothing(pod4), [
    'ip link set eth1 alias terway:c5/eth1',
    'ip link set eth1 netns /run/netns/pod5 name eth0',
    `ip link add cali0 address ${macs.hostMac} mtu 1500 type veth peer name veth1 address ${macs.podMac} mtu 1500 netns /run/netns/pod5`,
    ...['all', 'default', 'cali0', 'eth0'].flatMap(dev => [
      `sysctl -w net.ipv4.conf.${dev}.forwarding=1`,
      `sysctl -w net.ipv4.conf.${dev}.rp_filter=0`,
    ]),
    'pod# sysctl -w net.ipv4.conf.all.rp_filter=0',
    'pod# sysctl -w net.ipv4.conf.eth0.rp_filter=0',
    'pod# sysctl -w net.ipv4.conf.veth1.rp_filter=0',
    'pod# sysctl -w net.ipv6.conf.eth0.accept_ra=0',
    'pod# ip addr add 10.0.1.5/32 dev eth0',
    'pod# ip addr add 10.0.1.5/32 dev veth1',
    'pod# ip link set eth0 up',
    'ip link set cali0 up alias c5',
    'pod# ip link set veth1 up',
    `pod# ip neigh replace 169.254.1.1 lladdr ${macs.hostMac} dev veth1 nud permanent`,
    'pod# ip route replace default via 10.0.1.253 dev eth0 onlink',
    'ip route replace 10.0.1.5/32 dev cali0 scope link',
    'pod# ip route replace 169.254.1.1/32 dev veth1 scope link',
    'pod# ip route replace 10.96.0.0/16 via 169.254.1.1 dev veth1 onlink',
    'pod# ip route replace 169.254.20.10/32 via 169.254.1.1 dev veth1 onlink',
    'pod# ip route replace 192.0.2.10/32 via 169.254.1.1 dev veth1 onlink',
  ])
})

test('IPv6: the same with fe80::1, and a route to the gateway before the default route', () => {
  assert.deepEqual(fromNothing(pod6).slice(3), [
    'sysctl -w net.ipv6.conf.cali0.accept_ra=0',
    'sysctl -w net.ipv6.conf.cali0.accept_dad=0',
    ...['all', 'default', 'cali0'].flatMap(dev => [
      `sysctl -w net.ipv6.conf.${dev}.forwarding=1`,
      `sysctl -w net.ipv6.conf.${dev}.disable_ipv6=0`,
    ]),
    ...['all', 'default', 'lo', 'eth0', 'veth1'].map(dev => `pod# sysctl -w net.ipv6.conf.${dev}.disable_ipv6=0`),
    ...['eth0', 'veth1'].flatMap(dev => ['accept_ra', 'accept_dad'].map(key => `pod# sysctl -w net.ipv6.conf.${dev}.${key}=0`)),
    'pod# ip addr add fd00:1::5/128 dev eth0 nodad',
    'pod# ip addr add fd00:1::5/128 dev veth1 nodad',
    'pod# ip link set eth0 up',
    'ip link set cali0 up alias c5',
    'pod# ip link set veth1 up',
    `pod# ip -6 neigh replace fe80::1 lladdr ${macs.hostMac} dev veth1 nud permanent`,
    'pod# ip -6 route replace fd00:1::fd/128 dev eth0 scope link',
    'pod# ip -6 route replace default via fd00:1::fd dev eth0 onlink',
    'ip -6 route replace fd00:1::5/128 dev cali0 scope link',
    'pod# ip -6 route replace fe80::1/128 dev veth1 scope link',
    'pod# ip -6 route replace fd00:96::/112 via fe80::1 dev veth1 onlink',
    'pod# ip -6 route replace 2001:db8:1::10/128 via fe80::1 dev veth1 onlink',
  ])
})

test('dual stack is the union of both, over one device and one pair', () => {
  const dual = fromNothing({ ...pod4, v6 })
  assert.deepEqual(dual.toSorted(), [...new Set([...fromNothing(pod4), ...fromNothing(pod6)])].toSorted())
})

test('without the host peer nothing is on the host but the way of the device', () => {
  assert.deepEqual(fromNothing({ ...pod4, hostPeer: false }), [
    'ip link set eth1 alias terway:c5/eth1',
    'ip link set eth1 netns /run/netns/pod5 name eth0',
    'pod# sysctl -w net.ipv6.conf.eth0.accept_ra=0',
    'pod# ip addr add 10.0.1.5/32 dev eth0',
    'pod# ip link set eth0 up',
    'pod# ip route replace default via 10.0.1.253 dev eth0 onlink',
  ])
})

test('extra routes lead to the gateway of the subnet by the ENI, with the default route or without', () => {
  const extraRoutes = [parseCidr('172.16.0.0/12'), parseCidr('2001:db8:5::/48')]
  const extra = ['172.16.0.0/12 via 10.0.1.253', '2001:db8:5::/48 via fd00:1::fd'].map(way => `${way} dev eth0 onlink`)
  const dual = { ...pod4, v6, extraRoutes }
  const ways = (a: ExclusiveEniAttachment) =>
    fromNothing(a).flatMap(line => /^pod# ip.* route replace (.* dev eth0.*)$/.exec(line)?.slice(1) ?? [])
  assert.deepEqual(ways(dual), [
    'default via 10.0.1.253 dev eth0 onlink',
    extra[0],
    'fd00:1::fd/128 dev eth0 scope link',
    'default via fd00:1::fd dev eth0 onlink',
    extra[1],
  ])
  assert.deepEqual(ways({ ...dual, defaultRoute: false }), [extra[0], 'fd00:1::fd/128 dev eth0 scope link', extra[1]])
})

test('egress is shaped on the ENI', () => {
  assert.equal(
    fromNothing({ ...pod4, egressBytesPerSecond: 125_000_000 }).at(-1),
    'pod# tc qdisc replace dev eth0 root handle 1: tbf rate 125000000bps burst 125000 limit 3250000',
  )
})

test('what is in place needs nothing', () => {
  assert.deepEqual(commands(pod4, settledHost, settledPod), [])
})

test('a repair names what is broken and nothing else', () => {
  const without = (dst: string) => settledPod.routes.filter(r => r.dst !== dst)
  const cases: readonly [what: string, host: Partial<NsState>, pod: Partial<NsState>, repair: string[]][] = [
    ['host route', { routes: [] }, {}, ['ip route replace 10.0.1.5/32 dev cali0 scope link']],
    ['host end down', { links: [{ ...hostEnd, up: false }] }, {}, ['ip link set cali0 up']],
    ['device down', {}, { links: [{ ...inside, up: false }, podEnd] }, ['pod# ip link set eth0 up']],
    ['MTU', {}, { links: [{ ...inside, mtu: 9000 }, podEnd] }, ['pod# ip link set eth0 mtu 1500']],
    ['mark', {}, { links: [{ ...inside, alias: 'x' }, podEnd] }, ['pod# ip link set eth0 alias terway:c5/eth1']],
    ['address of the pair', {}, { addrs: settledPod.addrs.slice(0, 1) }, ['pod# ip addr add 10.0.1.5/32 dev veth1']],
    [
      'another address',
      {},
      { addrs: [...settledPod.addrs, globalAddr(7, parseIpv4('10.0.1.6'))] },
      ['pod# ip addr del 10.0.1.6/32 dev eth0'],
    ],
    ['default route', {}, { routes: without('0.0.0.0/0') }, ['pod# ip route replace default via 10.0.1.253 dev eth0 onlink']],
    ['route of Services', {}, { routes: without('10.96.0.0/16') }, ['pod# ip route replace 10.96.0.0/16 via 169.254.1.1 dev veth1 onlink']],
    [
      'an address that the node has no more',
      {},
      { routes: [...settledPod.routes, route(2, parseCidr('192.0.2.77/32'), link4)] },
      ['pod# ip route del 192.0.2.77/32 via 169.254.1.1 dev veth1'],
    ],
    ['neighbour', {}, { neighs: [] }, [`pod# ip neigh replace 169.254.1.1 lladdr ${macs.hostMac} dev veth1 nud permanent`]],
  ]
  for (const [what, host, pod, repair] of cases) {
    assert.deepEqual(commands(pod4, { ...settledHost, ...host }, { ...settledPod, ...pod }), repair, what)
  }
})

test('while the uplink is not known, routes to the node stay', () => {
  const { uplink: _, ...lost } = { uplink: eth0 }
  const facts = { ...lost, nodeIps: [] }
  const pair = recognisePair(ends, settledHost, settledPod)
  const at = { device: { ns: netns, link: inside }, home: eth1, strangers: [], hostMac: pair.hostMac, peerMac: pair.podMac, ...facts }
  assert.deepEqual(diff(plan(pod4, at), { host: settledHost, pod: settledPod }, pair), [])
})

test('a renamed device is named again, and gets what it lost by going down', () => {
  const lines = commands(pod4, settledHost, { ...settledPod, links: [{ ...inside, name: eth7 }, podEnd] })
  assert.deepEqual(lines, [
    'pod# ip link set eth7 down',
    'pod# ip link set eth7 name eth0',
    'pod# sysctl -w net.ipv4.conf.eth0.rp_filter=0',
    'pod# sysctl -w net.ipv6.conf.eth0.accept_ra=0',
    'pod# ip addr add 10.0.1.5/32 dev eth0',
    'pod# ip link set eth0 up',
    'pod# ip route replace default via 10.0.1.253 dev eth0 onlink',
  ])
})

test("another pod's ENI goes home before the pod's own comes, from wherever it is", () => {
  const stranger = link(eth0, 8, { mac: parseMac('00:16:3e:00:00:02'), alias: 'terway:c6/eth2' })
  const other = parseNetnsPath('/run/netns/pod6')
  const lines = commands({ ...pod4, hostPeer: false }, state('host'), state(netns, { links: [stranger] }), {
    device: { ns: other, link: inside },
    strangers: [{ link: stranger, home: parseIfName('eth2') }],
  })
  assert.deepEqual(lines.slice(0, 3), [
    'pod# ip link set eth0 netns 1 name eth2',
    "ip link set eth2 alias ''",
    'nsenter --net=/run/netns/pod6 ip link set eth0 netns /run/netns/pod5 name eth0',
  ])
})

test('a withdrawal takes the host route, and the device home to its name or to one made of its MAC', () => {
  const ops = (host: Partial<NsState>, device?: LinkState, ns: Netns = netns) =>
    exclusiveWithdrawal(pod4, { ...settledHost, ...host }, device && { ns, link: device })
      .map(formatOp)
      .map(line => line.replace(`nsenter --net=${netns}`, 'pod#').replaceAll(cali, 'cali0'))
  const way = 'ip route del 10.0.1.5/32 dev cali0 scope link'
  assert.deepEqual(ops({}, inside), [way, 'pod# ip link set eth0 netns 1 name eth1', "ip link set eth1 alias ''"])
  const taken = { links: [hostEnd, link(eth1, 9)], routes: [] }
  assert.deepEqual(ops(taken, inside), ['pod# ip link set eth0 netns 1 name eni00163e000001', "ip link set eni00163e000001 alias ''"])
  assert.deepEqual(ops({}), [way], 'the node has it no more')
  assert.deepEqual(ops({ routes: [] }, outside, 'host'), [], 'nothing is left to do')
  assert.deepEqual(ops({ routes: [] }, { ...outside, alias: 'terway:c5/eth1' }, 'host'), ["ip link set eth1 alias ''"])
  const anothers = { links: [{ ...hostEnd, alias: 'c9' }] }
  assert.deepEqual(ops(anothers, { ...inside, alias: 'terway:c9/eth1' }), [], 'another sandbox has both by now')
})
