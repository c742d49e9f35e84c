// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseIfName, parseNetnsPath } from '#kernel/names.ts'
import { formatOp, type KernelOp } from '#kernel/op.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIp } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'

const host = { ns: 'host', dev: parseIfName('eth0.5') } as const
const pod = { ns: parseNetnsPath('/run/netns/p'), dev: parseIfName('eth0') } as const
const mac = parseMac('00:16:3e:00:00:01')

const lines: readonly [KernelOp, string][] = [
  [
    { op: 'veth-add', ...host, mac, mtu: 1500, peer: { ...pod, mac, mtu: 1400 } },
    'ip link add eth0.5 address 00:16:3e:00:00:01 mtu 1500 type veth peer name eth0 address 00:16:3e:00:00:01 mtu 1400 netns /run/netns/p',
  ],
  [{ op: 'link-set', ...host, set: { up: false, mtu: 1400, alias: 'c1' } }, 'ip link set eth0.5 down mtu 1400 alias c1'],
  [{ op: 'link-set', ...host, set: { alias: '' } }, "ip link set eth0.5 alias ''"],
  [{ op: 'link-move', ...host, to: pod.ns, name: pod.dev }, 'ip link set eth0.5 netns /run/netns/p name eth0'],
  [{ op: 'link-move', ...pod, to: 'host', name: host.dev }, 'nsenter --net=/run/netns/p ip link set eth0 netns 1 name eth0.5'],
  [{ op: 'link-move', ...host, to: 'host', name: pod.dev }, 'ip link set eth0.5 name eth0'],
  [{ op: 'link-del', ...host }, 'ip link del eth0.5'],
  [{ op: 'addr-add', ...pod, address: parseIp('10.0.0.1'), prefix: 32 }, 'nsenter --net=/run/netns/p ip addr add 10.0.0.1/32 dev eth0'],
  [{ op: 'addr-add', ...host, address: parseIp('fd00::1'), prefix: 128, nodad: true }, 'ip addr add fd00::1/128 dev eth0.5 nodad'],
  [{ op: 'addr-del', ...host, address: parseIp('fd00::1'), prefix: 128, nodad: true }, 'ip addr del fd00::1/128 dev eth0.5'],
  [
    { op: 'route-replace', ...host, table: 1007, dst: parseCidr('::/0'), via: parseIp('fd00::1'), scope: 'global', onlink: true },
    'ip -6 route replace default via fd00::1 dev eth0.5 table 1007 onlink',
  ],
  [
    { op: 'route-append', ...host, table: 254, dst: parseCidr('fd00::1/128'), scope: 'link' },
    'ip -6 route append fd00::1/128 dev eth0.5 scope link',
  ],
  [
    { op: 'route-del', ...host, table: 254, dst: parseCidr('10.0.0.1/32'), scope: 'link' },
    'ip route del 10.0.0.1/32 dev eth0.5 scope link',
  ],
  [
    { op: 'rule-add', ns: 'host', priority: 512, to: parseCidr('10.0.0.1/32'), table: 254 },
    'ip rule add priority 512 to 10.0.0.1/32 lookup main',
  ],
  [
    { op: 'rule-del', ns: 'host', priority: 2048, from: parseCidr('fd00::1/128'), table: 1007 },
    'ip -6 rule del priority 2048 from fd00::1/128 lookup 1007',
  ],
  [
    { op: 'neigh-replace', ...host, ip: parseIp('fe80::1'), mac },
    'ip -6 neigh replace fe80::1 lladdr 00:16:3e:00:00:01 dev eth0.5 nud permanent',
  ],
  // sysctl(8) writes a dot inside a device's name as a slash.
  [{ op: 'sysctl-set', ns: 'host', key: 'net/ipv4/conf/eth0.5/forwarding', value: '1' }, 'sysctl -w net.ipv4.conf.eth0/5.forwarding=1'],
  [
    { op: 'tbf-replace', ...host, rate: 125000, burst: 3000, limit: 6125 },
    'tc qdisc replace dev eth0.5 root handle 1: tbf rate 125000bps burst 3000 limit 6125',
  ],
  [{ op: 'block-join', ...host, ingress: 5, egress: 6 }, 'tc qdisc add dev eth0.5 ingress_block 5 egress_block 6 clsact'],
  [{ op: 'block-join', ...host, ingress: 5 }, 'tc qdisc add dev eth0.5 ingress_block 5 clsact'],
  [{ op: 'block-leave', ...host }, 'tc qdisc del dev eth0.5 clsact'],
  [
    { op: 'filter-set', ns: 'host', block: 5, program: 'pod_in', generation: '0123456789ab' },
    'tc filter replace block 5 handle 1 protocol all bpf direct-action object-pinned programs/0123456789ab/pod_in',
  ],
  [
    { op: 'socket-attach', ns: 'host', program: 'connect4', generation: '0123456789ab' },
    'bpftool cgroup attach <root of cgroup 2> connect4 pinned programs/0123456789ab/connect4',
  ],
  [{ op: 'socket-detach', ns: 'host', program: 'getpeername6' }, 'bpftool link detach pinned links/getpeername6'],
  [
    { op: 'map-put', ns: 'host', map: 'control', key: '00000000', value: '0300000000000000' },
    'bpftool map update pinned maps/control-1 key hex 00 00 00 00 value hex 03 00 00 00 00 00 00 00',
  ],
  [
    { op: 'map-put', ns: 'host', map: 'endpoints', key: '00000000', value: '0100', numberOf: { dev: host.dev, in: 'key' } },
    'bpftool map update pinned maps/endpoints-1 key hex <number of eth0.5> value hex 01 00',
  ],
  [
    { op: 'map-put', ns: 'host', map: 'addresses', key: '0a', value: '0000000001', numberOf: { dev: host.dev, in: 'value' } },
    'bpftool map update pinned maps/addresses-1 key hex 0a value hex <number of eth0.5> 01',
  ],
  [{ op: 'map-del', ns: 'host', map: 'endpoints', key: '07000000' }, 'bpftool map delete pinned maps/endpoints-1 key hex 07 00 00 00'],
]

test('each operation has its command line', () => {
  for (const [op, line] of lines) assert.equal(formatOp(op), line)
})

test('names that the kernel would refuse are refused at the edge', () => {
  for (const bad of ['', '.', '..', 'a/b', 'a b', 'a:b', 'sixteen-letters!', 'tab\t'])
    assert.throws(() => parseIfName(bad), { code: 'bad-if-name' })
  for (const bad of ['', 'run/netns/x', '/run/\0']) assert.throws(() => parseNetnsPath(bad), { code: 'bad-netns-path' })
})
