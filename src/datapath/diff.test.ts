// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { diff } from '#datapath/diff.ts'
import { type EniFacts, planEni } from '#datapath/eni.ts'
import { plan } from '#datapath/mode/veth-route.ts'
import { newMacs, recognisePair } from '#datapath/veth.ts'
import { withdrawal } from '#datapath/withdraw.ts'
import { type IfName, type Netns, parseIfName, parseNetnsPath } from '#kernel/names.ts'
import { formatOp } from '#kernel/op.ts'
import type { LinkState, NsState } from '#kernel/state.ts'
import { type Cidr, hostCidr, parseCidr } from '#net/cidr.ts'
import { type Ip, parseIp, parseIpv4, parseIpv6 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import { emptyNamespace } from '../../test/support/empty-namespace.ts'

const netns = parseNetnsPath('/run/netns/pod5')
const [cali, eth0, eth1] = [parseIfName('cali0d7763386da'), parseIfName('eth0'), parseIfName('eth1')]
const facts: EniFacts = {
  dev: eth1,
  index: 7,
  mac: parseMac('00:16:3e:00:00:01'),
  hostIps: [parseIpv4('192.0.2.10'), parseIpv6('2001:db8:1::10')],
  uplink: eth0,
}
const v4 = { address: parseIpv4('10.0.1.5'), subnet: parseCidr('10.0.1.0/24'), gateway: parseIpv4('10.0.1.253') }
const v6 = { address: parseIpv6('fd00:1::5'), subnet: parseCidr('fd00:1::/64'), gateway: parseIpv6('fd00:1::fd') }
const base = {
  kind: 'shared-eni',
  containerId: 'c5',
  netns,
  ifName: eth0,
  hostIfName: cali,
  mtu: 1500,
  eni: { eniId: 'eni-1', mac: facts.mac, gateway4: v4.gateway, gateway6: v6.gateway },
  defaultRoute: true,
  extraRoutes: [],
} as const satisfies SharedEniAttachment
const pod4: SharedEniAttachment = { ...base, v4 }
const pod6: SharedEniAttachment = { ...base, v6 }
const macs = newMacs(pod4)

function state(ns: Netns, more: Partial<NsState> = {}): NsState {
  return { ...emptyNamespace, ns, ...more }
}

function link(name: IfName, index: number, more: Partial<LinkState> = {}): LinkState {
  return { name, index, mtu: 1500, up: true, ...more }
}

const eniLink = link(eth1, 7, { mac: facts.mac })
const hostEnd = link(cali, 20, { mac: macs.hostMac, alias: 'c5', kind: 'veth', peerIndex: 2, peerNsid: 4 })
const podEnd = link(eth0, 2, { mac: macs.podMac, kind: 'veth', peerIndex: 20, peerNsid: 0 })
const globalAddr = (ifIndex: number, address: Ip, prefix = 32) => ({ ifIndex, address, prefix, scope: 'global', secondary: false }) as const
const route = (ifIndex: number, dst: Cidr, table = 254, via?: Ip) =>
  ({
    table,
    dst,
    ifIndex,
    scope: via === undefined ? 'link' : 'global',
    onlink: via !== undefined,
    priority: 0,
    ...(via === undefined ? {} : { via }),
  }) as const
const default4 = '0.0.0.0/0' as Cidr

/** The host and the pod when everything of `pod4` is in place. */
const settledHost = state('host', {
  links: [eniLink, hostEnd],
  addrs: [globalAddr(7, parseIpv4('192.0.2.10'))],
  routes: [route(20, hostCidr(v4.address)), route(7, default4, 1007, v4.gateway)],
  rules: [
    { family: 4, priority: 512, to: hostCidr(v4.address), table: 254 },
    { family: 4, priority: 2048, from: hostCidr(v4.address), table: 1007 },
  ],
  nsids: { [netns]: 4 },
})
const settledPod = state(netns, {
  links: [podEnd],
  addrs: [globalAddr(2, v4.address)],
  neighs: [{ ifIndex: 2, ip: parseIp('169.254.1.1'), mac: macs.hostMac, permanent: true }],
  routes: [route(2, default4, 254, parseIp('169.254.1.1'))],
})

/** What an operator would type to bring about `a`; `pod#` stands for being in the pod's namespace, cali0 for the host end. */
function commands(a: SharedEniAttachment, host: NsState, pod: NsState): string[] {
  const pair = recognisePair(a, host, pod)
  return diff(plan(a, { eni: facts, hostMac: pair.hostMac, podMac: pair.podMac }), { host, pod }, pair)
    .map(formatOp)
    .map(line => line.replace(`nsenter --net=${netns}`, 'pod#').replaceAll(cali, 'cali0'))
}

/** On a node where nothing is done yet; keys of all devices exist with other values. */
function fromNothing(a: SharedEniAttachment): string[] {
  const sysctls = new Proxy<Record<string, string>>({}, { get: () => '?' })
  return commands(a, state('host', { links: [{ ...eniLink, up: false }], sysctls }), state(netns, { sysctls }))
}

test('IPv4: a /32 behind a gateway that nobody owns, two rules, and the table of the ENI', () => {
  assert.deepEqual(fromNothing(pod4), [
    `ip link add cali0 address ${macs.hostMac} mtu 1500 type veth peer name eth0 address ${macs.podMac} mtu 1500 netns /run/netns/pod5`,
    'sysctl -w net.ipv4.conf.all.forwarding=1',
    'sysctl -w net.ipv4.conf.all.rp_filter=0',
    'sysctl -w net.ipv4.conf.default.forwarding=1',
    'sysctl -w net.ipv4.conf.default.rp_filter=0',
    'sysctl -w net.ipv4.conf.eth1.forwarding=1',
    'sysctl -w net.ipv4.conf.eth1.rp_filter=0',
    'sysctl -w net.ipv4.conf.eth0.forwarding=1',
    'sysctl -w net.ipv4.conf.eth0.rp_filter=0',
    'sysctl -w net.ipv4.conf.cali0.forwarding=1',
    'sysctl -w net.ipv4.conf.cali0.rp_filter=0',
    'ip addr add 192.0.2.10/32 dev eth1',
    'pod# ip addr add 10.0.1.5/32 dev eth0',
    'ip link set eth1 up',
    'ip link set cali0 up alias c5',
    'pod# ip link set eth0 up',
    `pod# ip neigh replace 169.254.1.1 lladdr ${macs.hostMac} dev eth0 nud permanent`,
    'ip route replace default via 10.0.1.253 dev eth1 table 1007 onlink',
    'ip route replace 10.0.1.5/32 dev cali0 scope link',
    'pod# ip route replace default via 169.254.1.1 dev eth0 onlink',
    'ip rule add priority 512 to 10.0.1.5/32 lookup main',
    'ip rule add priority 2048 from 10.0.1.5/32 lookup 1007',
  ])
})

test('IPv6: the same with fe80::1, usable at once on both ends', () => {
  assert.deepEqual(fromNothing(pod6), [
    `ip link add cali0 address ${macs.hostMac} mtu 1500 type veth peer name eth0 address ${macs.podMac} mtu 1500 netns /run/netns/pod5`,
    'sysctl -w net.ipv6.conf.eth1.accept_ra=0',
    'sysctl -w net.ipv6.conf.eth1.accept_dad=0',
    'sysctl -w net.ipv6.conf.all.forwarding=1',
    'sysctl -w net.ipv6.conf.all.disable_ipv6=0',
    'sysctl -w net.ipv6.conf.default.forwarding=1',
    'sysctl -w net.ipv6.conf.default.disable_ipv6=0',
    'sysctl -w net.ipv6.conf.eth1.forwarding=1',
    'sysctl -w net.ipv6.conf.eth1.disable_ipv6=0',
    'sysctl -w net.ipv6.conf.cali0.forwarding=1',
    'sysctl -w net.ipv6.conf.cali0.disable_ipv6=0',
    'sysctl -w net.ipv6.conf.cali0.accept_ra=0',
    'sysctl -w net.ipv6.conf.cali0.accept_dad=0',
    'pod# sysctl -w net.ipv6.conf.all.disable_ipv6=0',
    'pod# sysctl -w net.ipv6.conf.default.disable_ipv6=0',
    'pod# sysctl -w net.ipv6.conf.lo.disable_ipv6=0',
    'pod# sysctl -w net.ipv6.conf.eth0.disable_ipv6=0',
    'pod# sysctl -w net.ipv6.conf.eth0.accept_ra=0',
    'pod# sysctl -w net.ipv6.conf.eth0.accept_dad=0',
    'ip addr add 2001:db8:1::10/128 dev eth1 nodad',
    'pod# ip addr add fd00:1::5/128 dev eth0 nodad',
    'ip link set eth1 up',
    'ip link set cali0 up alias c5',
    'pod# ip link set eth0 up',
    `pod# ip -6 neigh replace fe80::1 lladdr ${macs.hostMac} dev eth0 nud permanent`,
    'ip -6 route append fd00:1::fd/128 dev eth1 scope link',
    'ip -6 route replace default via fd00:1::fd dev eth1 table 1007 onlink',
    'ip -6 route replace fd00:1::5/128 dev cali0 scope link',
    'pod# ip -6 route replace default via fe80::1 dev eth0 onlink',
    'ip -6 rule add priority 512 to fd00:1::5/128 lookup main',
    'ip -6 rule add priority 2048 from fd00:1::5/128 lookup 1007',
  ])
})

test('dual stack is the union of both, over one pair', () => {
  const dual = fromNothing({ ...pod4, v6 })
  assert.deepEqual(dual.toSorted(), [...new Set([...fromNothing(pod4), ...fromNothing(pod6)])].toSorted())
})

test('extra routes need the gateway address on the host end, and a neighbour for the subnet gateway', () => {
  const extraRoutes = [parseCidr('172.16.0.0/12'), parseCidr('2001:db8:5::/48')]
  const more = fromNothing({ ...pod4, v6, extraRoutes }).filter(line => !fromNothing({ ...pod4, v6 }).includes(line))
  assert.deepEqual(more, [
    'ip addr add 169.254.1.1/32 dev cali0',
    'ip addr add fe80::1/128 dev cali0 nodad',
    `pod# ip neigh replace 10.0.1.253 lladdr ${macs.hostMac} dev eth0 nud permanent`,
    `pod# ip -6 neigh replace fd00:1::fd lladdr ${macs.hostMac} dev eth0 nud permanent`,
    'pod# ip route replace 169.254.1.1/32 dev eth0 scope link',
    'pod# ip route replace 172.16.0.0/12 via 10.0.1.253 dev eth0 onlink',
    'pod# ip -6 route replace fe80::1/128 dev eth0 scope link',
    'pod# ip -6 route replace 2001:db8:5::/48 via fd00:1::fd dev eth0 onlink',
  ])
  assert.ok(
    !fromNothing({ ...pod4, defaultRoute: false, extraRoutes }).some(line => line.includes('route replace default via 169.254.1.1')),
  )
})

test('limits: ingress is shaped on the host end, egress in the pod; burst of a millisecond or two packets', () => {
  const shaped = fromNothing({ ...pod4, ingressBytesPerSecond: 1_250_000, egressBytesPerSecond: 125_000_000 })
  assert.deepEqual(shaped.slice(-2), [
    'tc qdisc replace dev cali0 root handle 1: tbf rate 1250000bps burst 3000 limit 34250',
    'pod# tc qdisc replace dev eth0 root handle 1: tbf rate 125000000bps burst 125000 limit 3250000',
  ])
})

test('what is in place needs nothing; the MACs of an existing pair are kept, whoever chose them', () => {
  assert.deepEqual(commands(pod4, settledHost, settledPod), [])
  const [hostMac, podMac] = [parseMac('9a:00:00:00:00:01'), parseMac('9a:00:00:00:00:02')]
  const host = { ...settledHost, links: [eniLink, { ...hostEnd, mac: hostMac }] }
  const pod = { ...settledPod, links: [{ ...podEnd, mac: podMac }] }
  assert.deepEqual(commands(pod4, host, pod), ['pod# ip neigh replace 169.254.1.1 lladdr 9a:00:00:00:00:01 dev eth0 nud permanent'])
})

test('a repair names what is broken and nothing else', () => {
  const cases: readonly [what: string, host: Partial<NsState>, pod: Partial<NsState>, repair: string[]][] = [
    ['rule to', { rules: settledHost.rules.slice(1) }, {}, ['ip rule add priority 512 to 10.0.1.5/32 lookup main']],
    ['rule from', { rules: settledHost.rules.slice(0, 1) }, {}, ['ip rule add priority 2048 from 10.0.1.5/32 lookup 1007']],
    [
      'rule of an old ENI',
      { rules: [...settledHost.rules.slice(0, 1), { family: 4, priority: 2048, from: hostCidr(v4.address), table: 1003 }] },
      {},
      ['ip rule add priority 2048 from 10.0.1.5/32 lookup 1007', 'ip rule del priority 2048 from 10.0.1.5/32 lookup 1003'],
    ],
    ['foreign rule', { rules: [...settledHost.rules, { family: 4, priority: 2048, from: hostCidr(v4.address), table: 100 }] }, {}, []],
    ['host route', { routes: settledHost.routes.slice(1) }, {}, ['ip route replace 10.0.1.5/32 dev cali0 scope link']],
    [
      'host route elsewhere',
      { routes: [route(33, hostCidr(v4.address)), ...settledHost.routes.slice(1)] },
      {},
      ['ip route replace 10.0.1.5/32 dev cali0 scope link'],
    ],
    ['ENI table', { routes: settledHost.routes.slice(0, 1) }, {}, ['ip route replace default via 10.0.1.253 dev eth1 table 1007 onlink']],
    [
      'address put on the ENI by another agent',
      { addrs: [...settledHost.addrs, globalAddr(7, parseIpv4('10.0.1.200'), 24)] },
      {},
      ['ip addr del 10.0.1.200/24 dev eth1'],
    ],
    ['host end down', { links: [eniLink, { ...hostEnd, up: false }] }, {}, ['ip link set cali0 up']],
    ['MTU', { links: [eniLink, { ...hostEnd, mtu: 9000 }] }, {}, ['ip link set cali0 mtu 1500']],
    ['MTU of the ENI', { links: [{ ...eniLink, mtu: 1400 }, hostEnd] }, {}, ['ip link set eth1 mtu 1500']],
    ["an ENI's MTU that a pod with a larger one needs", { links: [{ ...eniLink, mtu: 9000 }, hostEnd] }, {}, []],
    [
      'left-over gateway address',
      { addrs: [...settledHost.addrs, globalAddr(20, parseIpv4('169.254.1.1'))] },
      {},
      ['ip addr del 169.254.1.1/32 dev cali0'],
    ],
    ['neighbour', {}, { neighs: [] }, [`pod# ip neigh replace 169.254.1.1 lladdr ${macs.hostMac} dev eth0 nud permanent`]],
    [
      'neighbour learned, not permanent',
      {},
      { neighs: settledPod.neighs.map(n => ({ ...n, permanent: false })) },
      [`pod# ip neigh replace 169.254.1.1 lladdr ${macs.hostMac} dev eth0 nud permanent`],
    ],
    [
      'pod address',
      {},
      { addrs: [globalAddr(2, parseIpv4('10.0.1.6'))] },
      ['pod# ip addr add 10.0.1.5/32 dev eth0', 'pod# ip addr del 10.0.1.6/32 dev eth0'],
    ],
    ['pod route', {}, { routes: [] }, ['pod# ip route replace default via 169.254.1.1 dev eth0 onlink']],
    ['sysctl', { sysctls: { [`net/ipv4/conf/${cali}/rp_filter`]: '1' } }, {}, ['sysctl -w net.ipv4.conf.cali0.rp_filter=0']],
  ]
  for (const [what, host, pod, repair] of cases) {
    assert.deepEqual(commands(pod4, { ...settledHost, ...host }, { ...settledPod, ...pod }), repair, what)
  }
})

test('the host end of a dead sandbox with the same name goes first', () => {
  const lines = commands(pod4, { ...settledHost, nsids: { [netns]: 5 } }, state(netns))
  assert.equal(lines[0], 'ip link del cali0')
  assert.match(lines[1] ?? '', /^ip link add cali0 /)
  assert.ok(lines.includes('ip route replace 10.0.1.5/32 dev cali0 scope link'), 'the route died with the old device')
})

test('a new device inherits the default: what is right there is not written again', () => {
  const right = { forwarding: '1', rp_filter: '0' }
  const keys = ['all', 'default', 'eth1', 'eth0'].flatMap(dev =>
    Object.entries(right).map(([key, value]) => [`net/ipv4/conf/${dev}/${key}`, value]),
  )
  const lines = commands(pod4, { ...settledHost, links: [eniLink], sysctls: Object.fromEntries(keys) }, state(netns))
  assert.match(lines[0] ?? '', /^ip link add/)
  assert.ok(!lines.some(line => line.startsWith('sysctl')), lines.join('; '))
})

test('a pod interface that is not ours is refused, not replaced', () => {
  const foreign = { ...settledPod, links: [{ ...podEnd, peerIndex: 99 }] }
  assert.throws(() => commands(pod4, settledHost, foreign), { code: 'pod-interface-taken' })
})

test('an ENI: MTU and both families; the node keeps addresses and MTU of its own interface', () => {
  const host = state('host', { links: [{ ...eniLink, mtu: 1400, up: false }], addrs: [globalAddr(7, parseIpv6('fd00:1::7'), 64)] })
  const lines = (f: EniFacts) => diff(planEni(base.eni, f, 1500), { host }).map(formatOp)
  assert.deepEqual(lines(facts), [
    'ip addr add 192.0.2.10/32 dev eth1',
    'ip addr add 2001:db8:1::10/128 dev eth1 nodad',
    'ip addr del fd00:1::7/64 dev eth1',
    'ip link set eth1 up mtu 1500',
    'ip route replace default via 10.0.1.253 dev eth1 table 1007 onlink',
    'ip -6 route append fd00:1::fd/128 dev eth1 scope link',
    'ip -6 route replace default via fd00:1::fd dev eth1 table 1007 onlink',
  ])
  const changed = (f: EniFacts) => lines(f).filter(line => /^ip (addr|link)/.test(line))
  assert.deepEqual(changed({ ...facts, uplink: eth1 }), ['ip link set eth1 up'])
  const { uplink: _, ...lost } = facts
  assert.deepEqual(changed({ ...lost, hostIps: [] }), ['ip link set eth1 up mtu 1500'], 'perhaps its own interface')
})

test('routes of one gateway over several ENIs stand beside each other', () => {
  const gateway = hostCidr(v6.gateway)
  const way = (...routes: NsState['routes']) =>
    diff(planEni(base.eni, facts, 1500), { host: state('host', { links: [eniLink], routes }) })
      .map(formatOp)
      .filter(line => line.includes(gateway))
  assert.deepEqual(way(route(8, gateway), route(7, gateway)), [])
  assert.deepEqual(way(route(8, gateway), route(7, gateway, 1007)), ['ip -6 route append fd00:1::fd/128 dev eth1 scope link'])
})

test('router advertisements: the uplink goes on taking them, if it did, before the node forwards; an ENI takes none', () => {
  const lines = (uplink: IfName, acceptRa: string) => {
    const sysctls = {
      'net/ipv6/conf/all/forwarding': '0',
      [`net/ipv6/conf/${uplink}/accept_ra`]: acceptRa,
      'net/ipv6/conf/eth1/accept_dad': '1',
    }
    const ops = diff(planEni(base.eni, { ...facts, uplink }, 1500), { host: state('host', { links: [eniLink], sysctls }) })
    return ops.map(formatOp).filter(line => line.startsWith('sysctl'))
  }
  const [keep, off, on] = ['eth0.accept_ra=2', 'eth1.accept_dad=0', 'all.forwarding=1'].map(line => `sysctl -w net.ipv6.conf.${line}`)
  assert.deepEqual(lines(eth0, '1'), [keep, off, on])
  for (const other of ['0', '2']) assert.deepEqual(lines(eth0, other), [off, on])
  assert.deepEqual(lines(eth1, '1'), ['sysctl -w net.ipv6.conf.eth1.accept_ra=2', on], 'its own interface that is an ENI')
  assert.deepEqual(lines(eth1, '0'), [on])
})

test('a withdrawal takes the rules and routes of the pod, and no rule of another shape', () => {
  const foreign = { family: 4, priority: 512, to: hostCidr(v4.address), table: 99 } as const
  const ops = withdrawal(pod4, { ...settledHost, rules: [...settledHost.rules, foreign] }, false).map(formatOp)
  assert.deepEqual(ops, [
    'ip rule del priority 512 to 10.0.1.5/32 lookup main',
    'ip rule del priority 2048 from 10.0.1.5/32 lookup 1007',
    `ip route del 10.0.1.5/32 dev ${cali} scope link`,
  ])
  assert.deepEqual(withdrawal(pod4, state('host'), true), [])
})
