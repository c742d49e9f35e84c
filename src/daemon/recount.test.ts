// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { recountOps, refusedBy } from '#daemon/recount.ts'
import { address, addressKey, endpointFlows, endpointKey } from '#kernel/bpf/structs.ts'
import { parseIp } from '#net/ip.ts'

const of = (ifIndex: number, live: number, refused = 0n) => ({
  key: endpointKey.encode({ ifIndex }),
  value: endpointFlows.encode({ live, refused }),
})
const at = (ip: string, endpoint: number) => ({ key: addressKey.encode({ ip: parseIp(ip) }), value: address.encode({ endpoint }) })
const addresses = [at('10.0.1.5', 5), at('fd00::5', 5), at('10.0.1.6', 6), at('10.0.1.7', 7)]
const live = new Map([
  [parseIp('10.0.1.5'), 10],
  [parseIp('fd00::5'), 4],
  [parseIp('10.0.1.6'), 3],
])

test('a count is what was found, and what changed meanwhile', () => {
  const before = [of(5, 100), of(6, 3), of(8, 1)]
  const after = [of(5, 102, 9n), of(6, 3), of(7, 2 ** 32 - 1), of(8, 1)]
  const ops = recountOps({ before, after, addresses, live })
  assert.deepEqual(
    ops.map(op => (op.op === 'map-put' ? [op.key, endpointFlows.decode(Buffer.from(op.value, 'hex'))] : [op.op])),
    [['05000000', { live: 16, spare: 0, refused: 9n }], ['07000000', { live: 0, spare: 0, refused: 0n }], ['map-del']],
  )
})

test('who was refused, by each of its addresses', () => {
  assert.deepEqual(
    [...refusedBy({ after: [of(5, 1, 9n), of(6, 1), of(8, 1, 3n)], addresses })],
    [
      ['10.0.1.5', 9],
      ['fd00::5', 9],
    ],
  )
})
