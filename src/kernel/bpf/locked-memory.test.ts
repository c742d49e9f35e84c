// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { memoryFacts, requireLockedMemory } from '#kernel/bpf/locked-memory.ts'

const limits = (soft: string, hard: string) => `Limit                     Soft Limit           Hard Limit           Units
Max locked memory         ${soft.padEnd(20)} ${hard.padEnd(20)} bytes
Max address space         unlimited            unlimited            bytes
`
/** NET_ADMIN, SYS_ADMIN and DAC_OVERRIDE, as in the chart; and SYS_RESOURCE beside them. */
const [fewer, more] = ['CapEff:\t0000000000201002\n', 'CapEff:\t0000000001201002\n']
const old = { release: '5.10.0-30-amd64', limits: limits('65536', '65536'), status: fewer }

test('before Linux 5.11 too little locked memory is told with its way out', () => {
  assert.throws(() => requireLockedMemory(old), {
    code: 'kernel-refused',
    message:
      /^Linux 5\.10\.0-30-amd64 counts maps as locked memory, of which this process may have 65536 bytes: set LimitMEMLOCK=infinity.*SYS_RESOURCE \(value terway\.extraCapabilities\)$/,
  })
})

test('enough, a right to more, or a newer kernel', () => {
  for (const change of [
    { limits: limits('201326592', '201326592') },
    { limits: limits('65536', 'unlimited') },
    { limits: limits('unlimited', 'unlimited') },
    { status: more },
    { release: '5.11.0' },
    { release: '6.1.0-1' },
  ])
    requireLockedMemory({ ...old, ...change })
})

test('what it reads of this process has both', () => {
  const { limits, status } = memoryFacts()
  assert.match(limits, /^Max locked memory\s+\w+\s+\w+/m)
  assert.match(status, /^CapEff:\s*[0-9a-f]{16}$/m)
})
