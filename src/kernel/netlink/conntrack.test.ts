// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Body } from '#kernel/netlink/attr.ts'
import { parseTranslated } from '#kernel/netlink/conntrack.ts'
import { type Ip, parseIp, toBytes } from '#net/ip.ts'

interface Side {
  readonly from: string
  readonly to: string
  readonly ports: (body: Body) => Body
}

const be16 = (n: number) => Uint8Array.of(n >> 8, n & 255)
const ports = (source: number, destination: number) => (body: Body) => body.attr(2, be16(source)).attr(3, be16(destination))
const identifier = (attr: number, id: number) => (body: Body) => body.attr(attr, be16(id))

function parse(protocol: number, original: Side, reply: Side) {
  const bytes = (ip: string) => toBytes(parseIp(ip) as Ip)
  const side = (body: Body, { from, to, ports: fill }: Side) => {
    const six = from.includes(':') ? 2 : 0
    body.nest(1, b => b.attr(1 + six, bytes(from)).attr(2 + six, bytes(to))).nest(2, b => fill(b.attr(1, Uint8Array.of(protocol))))
  }
  const body = new Body()
    .u8(2, 0, 0, 0)
    .nest(1, b => side(b, original))
    .nest(2, b => side(b, reply))
  const data = Buffer.from(body.bytes())
  return parseTranslated({ header: { length: data.length, type: 0, flags: 0, sequence: 0, portId: 0 }, data, start: 0, end: data.length })
}

test('a flow is told when its answers are not simply its packets turned round', () => {
  const out = { from: '10.0.0.1', to: '10.0.0.2', ports: ports(40000, 80) }
  for (const protocol of [6, 17, 132]) {
    assert.equal(parse(protocol, out, { from: '10.0.0.2', to: '10.0.0.1', ports: ports(80, 40000) }), undefined)
    assert.deepEqual(parse(protocol, out, { from: '10.0.0.3', to: '10.0.0.1', ports: ports(8080, 40000) }), {
      protocol,
      original: { source: '10.0.0.1', destination: '10.0.0.2', sourcePort: 40000, destinationPort: 80 },
      reply: { source: '10.0.0.3', destination: '10.0.0.1', sourcePort: 8080, destinationPort: 40000 },
    })
    // Only a port is another.
    assert.equal(parse(protocol, out, { from: '10.0.0.2', to: '10.0.0.1', ports: ports(80, 40001) })?.reply.destinationPort, 40001)
  }
})

test('an identifier is both ports; other protocols are not followed', () => {
  const six = { from: 'fd00::1', to: 'fd00::2' }
  const answer = { from: 'fd00::3', to: 'fd00::1' }
  const told = parse(58, { ...six, ports: identifier(7, 77) }, { ...answer, ports: identifier(7, 77) })
  assert.deepEqual([told?.original.sourcePort, told?.original.destinationPort, told?.reply.source], [77, 77, 'fd00::3'])
  assert.equal(
    parse(1, { from: '10.0.0.1', to: '10.0.0.2', ports: identifier(4, 5) }, { from: '10.0.0.2', to: '10.0.0.1', ports: identifier(4, 5) }),
    undefined,
  )
  assert.equal(parse(47, { ...six, ports: b => b }, { ...answer, ports: b => b }), undefined)
})
