// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Holding, heldTwice } from './sample.ts'

const one: Holding = { witness: 'kernel', node: 'node1', holder: 'cni-1', address: '10.0.0.1' }

test('an address is held twice when one witness knows two holders of it, wherever they are', () => {
  assert.deepEqual(heldTwice([one, { ...one, witness: 'ledger', holder: 'c1' }, { ...one, address: '10.0.0.2' }]), [])
  assert.deepEqual(heldTwice([one, { ...one, node: 'node2', holder: 'cni-2' }]), [
    '10.0.0.1 is held twice (kernel): node1/cni-1 and node2/cni-2',
  ])
})
