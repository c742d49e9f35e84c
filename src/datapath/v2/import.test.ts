// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { incarnationOf } from '#datapath/mode/ebpf.ts'
import { importedFlows } from '#datapath/v2/import.ts'
import type { ValueOf } from '#kernel/bpf/layout.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { parseIfName, parseNetnsPath } from '#kernel/names.ts'
import type { FlowTuple, TranslatedFlow } from '#kernel/port.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIp, parseIpv4, parseIpv6 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'

function pod(n: number): SharedEniAttachment {
  return {
    kind: 'shared-eni',
    containerId: `c${n}`,
    netns: parseNetnsPath(`/run/netns/pod${n}`),
    ifName: parseIfName('eth0'),
    hostIfName: parseIfName(`cali0000000000${n}`),
    mtu: 1500,
    v4: { address: parseIpv4(`10.0.1.${n}`), subnet: parseCidr('10.0.1.0/24'), gateway: parseIpv4('10.0.1.253') },
    v6: { address: parseIpv6(`fd00:1::${n}`), subnet: parseCidr('fd00:1::/64'), gateway: parseIpv6('fd00:1::fd') },
    eni: { eniId: 'eni-1', mac: parseMac('00:16:3e:00:00:01') },
    defaultRoute: true,
    extraRoutes: [],
  }
}
const [one, two] = [pod(1), pod(2)]

const tuple = (source: string, sourcePort: number, destination: string, destinationPort: number): FlowTuple => {
  return { source: parseIp(source), destination: parseIp(destination), sourcePort, destinationPort }
}

const describe = (k: ValueOf<typeof maps.flows.key>) => `${k.local} ${k.localPort} ${k.remote} ${k.remotePort} ${k.protocol}`

/** What the programs are told, in words: local, remote, whose; notes begin with `note`. */
function told(original: FlowTuple, reply: FlowTuple, protocol = 6, backend?: number | 'gone'): string[] {
  const flow: TranslatedFlow = { protocol, original, reply }
  const name = (incarnation: number) => [one, two].find(p => incarnationOf(p) === incarnation)?.containerId
  return importedFlows([flow], [one, two], 77, () => backend).map(op => {
    if (op.op === 'map-del') return `${op.map} forgets ${describe(maps.flows.key.decode(Buffer.from(op.key, 'hex')))}`
    if (op.op !== 'map-put') return assert.fail(op.op)
    const [key, value] = [Buffer.from(op.key, 'hex'), Buffer.from(op.value, 'hex')]
    if (op.map === 'host_notes') {
      const [k, v] = [maps.host_notes.key.decode(key), maps.host_notes.value.decode(value)]
      return `note ${k.local} ${k.localPort} ${k.protocol} of ${name(v.incarnation)} at ${v.seen}`
    }
    const [k, v] = [maps.flows.key.decode(key), maps.flows.value.decode(value)]
    assert.deepEqual([v.state, v.way, v.seen, v.peer], [2, 2, 77, 0])
    const of = `${describe(k)} of ${name(v.localIncarnation)} flags ${v.flags}`
    return v.backend === 0 ? of : `${of} backend ${v.backend}`
  })
}

test('a pod that spoke to a Service: both names of the other side, and a note', () => {
  assert.deepEqual(told(tuple('10.0.1.1', 4000, '10.96.0.1', 80), tuple('10.9.9.9', 8080, '10.0.1.1', 4000)), [
    '10.0.1.1 4000 10.96.0.1 80 6 of c1 flags 18',
    '10.0.1.1 4000 10.9.9.9 8080 6 of c1 flags 18',
    'note 10.0.1.1 4000 6 of c1 at 77',
  ])
})

test('a Service whose backend is here too: the backend has the flow as well', () => {
  assert.deepEqual(told(tuple('fd00:1::1', 4000, 'fd00:96::1', 53), tuple('fd00:1::2', 53, 'fd00:1::1', 4000), 17), [
    'fd00:1::1 4000 fd00:96::1 53 17 of c1 flags 18',
    'fd00:1::1 4000 fd00:1::2 53 17 of c1 flags 18',
    'fd00:1::2 53 fd00:1::1 4000 17 of c2 flags 19',
    'note fd00:1::1 4000 17 of c1 at 77',
  ])
})

test('a pod that was asked through a port of the node, from the address of the asker or of the node', () => {
  assert.deepEqual(told(tuple('203.0.113.5', 999, '192.0.2.10', 30080), tuple('10.0.1.2', 8080, '192.0.2.10', 7777)), [
    '10.0.1.2 8080 192.0.2.10 7777 6 of c2 flags 19',
  ])
})

test('a masqueraded flow is answered to the node, so that only what the pod sends is told', () => {
  assert.deepEqual(told(tuple('10.0.1.1', 4000, '203.0.113.5', 443), tuple('203.0.113.5', 443, '192.0.2.10', 5000)), [
    '10.0.1.1 4000 203.0.113.5 443 6 of c1 flags 18',
    'note 10.0.1.1 4000 6 of c1 at 77',
  ])
})

test('flows of nobody here, and pings, are left out', () => {
  assert.deepEqual(told(tuple('192.0.2.10', 4000, '10.96.0.1', 443), tuple('10.9.9.9', 6443, '192.0.2.10', 4000)), [])
  assert.deepEqual(told(tuple('10.0.1.1', 5, '10.96.0.1', 5), tuple('10.9.9.9', 5, '10.0.1.1', 5), 1), [])
})

const asked = [tuple('10.0.1.1', 4000, '10.96.0.1', 53), tuple('10.9.9.9', 5353, '10.0.1.1', 4000)] as const

test('what has no connection says which backend it has, where the Service still has it', () => {
  assert.deepEqual(told(...asked, 17, 7), [
    '10.0.1.1 4000 10.96.0.1 53 17 of c1 flags 18 backend 7',
    '10.0.1.1 4000 10.9.9.9 5353 17 of c1 flags 18',
    'note 10.0.1.1 4000 17 of c1 at 77',
  ])
})

test('what has no connection and no backend any more begins anew; connections end by themselves', () => {
  assert.deepEqual(told(...asked, 17, 'gone'), [
    'flows forgets 10.0.1.1 4000 10.96.0.1 53 17',
    'new_flows forgets 10.0.1.1 4000 10.96.0.1 53 17',
  ])
  assert.deepEqual(told(...asked, 6, 'gone').length, 3)
  assert.deepEqual(told(tuple('10.7.7.7', 1, '10.96.0.1', 53), tuple('10.9.9.9', 53, '10.7.7.7', 1), 17, 'gone'), [])
})
