// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { constantsOf, linkProgram } from '#kernel/bpf/link.ts'
import type { BpfObject, BpfProgram } from '#kernel/bpf/object.ts'

/** r1 = a map, r2 = a constant, exit. */
const program: BpfProgram = {
  name: 'pod_in',
  instructions: Buffer.from(`1801${'00'.repeat(14)}1802${'00'.repeat(14)}95${'00'.repeat(7)}`, 'hex').toString('base64'),
  relocations: [
    { at: 0, map: 'flows', offset: 0 },
    { at: 2, map: 'rodata', offset: 12 },
  ],
}
const object: BpfObject = {
  programs: [program],
  rodata: {
    bytes: Buffer.alloc(16, 1).toString('base64'),
    variables: { small: { offset: 0, size: 2 }, word: { offset: 4, size: 4 }, long: { offset: 8, size: 8 } },
  },
  generation: '0123456789ab',
}

test('instructions get the descriptors of the maps, and where in them a constant is', () => {
  const linked = linkProgram(program, new Map([['flows', 7] as const, ['rodata', 0x1234] as const]))
  assert.equal(
    linked.toString('hex'),
    '1811000007000000' + '0000000000000000' + '1822000034120000' + '000000000c000000' + '9500000000000000',
  )
  assert.throws(() => linkProgram(program, new Map([['flows', 7]])), /instruction 2 of pod_in takes rodata/)
})

test('constants are set where they are; the others stay', () => {
  assert.equal(constantsOf(object, { small: 0xbbaa, word: 0xffffffff, long: 5 }).toString('hex'), 'aabb0101ffffffff0500000000000000')
  assert.equal(constantsOf(object).toString('hex'), '01'.repeat(16))
  assert.throws(() => constantsOf(object, { other: 1 }), /no constant other/)
})
