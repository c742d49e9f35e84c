// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hostSetOps, wantedHostSet } from '#datapath/v2/host-set.ts'
import { maps } from '#kernel/bpf/maps.ts'
import type { NsState } from '#kernel/state.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIp } from '#net/ip.ts'
import { emptyNamespace } from '../../../test/support/empty-namespace.ts'

const wanted = {
  kind: 'v2',
  hostStackCidrs: [parseCidr('100.100.0.0/16')],
  serviceCidrs: [parseCidr('10.96.0.0/12'), parseCidr('fd00:96::/112')],
  learn: false,
} as const

function host(...addresses: string[]): NsState {
  const addrs = addresses.map(a => ({ ifIndex: 2, address: parseIp(a), prefix: 32, scope: 'global', secondary: false }) as const)
  return { ...emptyNamespace, ns: 'host', addrs }
}

test('what belongs to the host stack: the configuration, link-local, multicast and the addresses of the node', () => {
  const set = wantedHostSet(wanted, host('127.0.0.1', '192.0.2.10', '2001:db8::10', '169.254.20.10', 'fe80::7', '10.96.0.10'))
  assert.deepEqual(
    [...set].map(([cidr, why]) => `${cidr} ${why}`),
    [
      '10.96.0.0/12 5',
      'fd00:96::/112 5',
      '100.100.0.0/16 4',
      '169.254.0.0/16 2',
      'fe80::/10 2',
      '224.0.0.0/4 3',
      'ff00::/8 3',
      '127.0.0.1/32 1',
      '192.0.2.10/32 1',
      '2001:db8::10/128 1',
    ],
    'a Service on a device of the node is a Service',
  )
})

test('the entries follow the addresses: new before old, equal ones stay', () => {
  const set = (...addresses: string[]) => wantedHostSet(wanted, host(...addresses))
  const put = (...addresses: string[]) => hostSetOps(set(...addresses), [])
  const entries = put('192.0.2.10').flatMap(op =>
    op.op === 'map-put' ? [{ key: Buffer.from(op.key, 'hex'), value: Buffer.from(op.value, 'hex') }] : [],
  )
  assert.deepEqual(hostSetOps(set('192.0.2.10'), entries), [])
  const moved = hostSetOps(set('192.0.2.11'), entries)
  assert.deepEqual(
    moved.map(op => [op.op, 'key' in op && maps.host_set.key.decode(Buffer.from(op.key, 'hex'))]),
    [
      ['map-put', { prefixLength: 128, ip: '192.0.2.11' }],
      ['map-del', { prefixLength: 128, ip: '192.0.2.10' }],
    ],
  )
  const network = put()[0]
  assert.deepEqual(network?.op === 'map-put' && maps.host_set.key.decode(Buffer.from(network.key, 'hex')), {
    prefixLength: 108,
    ip: '10.96.0.0',
  })
  const [first, ...rest] = entries
  assert.equal(hostSetOps(set('192.0.2.10'), [{ key: first?.key ?? assert.fail(), value: Buffer.alloc(4) }, ...rest]).length, 1)
})
