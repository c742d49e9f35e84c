// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { staleEntries } from '#datapath/v2/stale.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { addressState } from '#kernel/bpf/words.ts'
import { parseIp } from '#net/ip.ts'

const endpoint = (ifIndex: number) => ({ key: maps.endpoints.key.encode({ ifIndex }), value: maps.endpoints.value.encode({}) })
const address = (ip: string, n: number, state: number = addressState.live) => ({
  key: maps.addresses.key.encode({ ip: parseIp(ip) }),
  value: maps.addresses.value.encode({ endpoint: n, incarnation: 1, state }),
})

test('entries without a device are taken away, addresses before endpoints; those of devices stay', () => {
  const ops = staleEntries(
    [endpoint(20), endpoint(21)],
    [address('10.0.1.1', 20), address('fd00::2', 21), address('10.0.1.3', 22, addressState.stack)],
    new Set([20]),
  )
  assert.deepEqual(
    ops.map(op => (op.op === 'map-del' ? `${op.map} ${op.key}` : op.op)),
    [
      'addresses fd000000000000000000000000000002',
      'addresses 00000000000000000000ffff0a000103',
      'endpoints 15000000',
      'endpoint_counters 15000000',
    ],
  )
})
