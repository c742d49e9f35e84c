// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mapSizes } from '#datapath/v2/map-sizes.ts'

test('tables of connections grow together', () => {
  assert.deepEqual(mapSizes(undefined), {})
  assert.deepEqual(mapSizes(262144), { flows: 262144, new_flows: 65536, host_notes: 131072, node_flows: 131072, new_node_flows: 65536 })
  assert.deepEqual(mapSizes(1024), { flows: 1024, new_flows: 1024, host_notes: 1024, node_flows: 1024, new_node_flows: 1024 })
})
