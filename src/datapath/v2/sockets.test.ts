// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ownNamespace, wantedSocketOps } from '#datapath/v2/sockets.ts'
import { socketProgramNames } from '#kernel/bpf/programs.ts'
import { formatOp } from '#kernel/op.ts'

const [generation, before] = ['aaaaaaaaaaaa', 'bbbbbbbbbbbb']
const own = ownNamespace(7n)
const running = (g: string) => socketProgramNames.map(program => ({ program, name: `${program}.${g}` }))
const lines = (...state: Parameters<typeof wantedSocketOps>) => wantedSocketOps(...state).map(formatOp)
const puts = 'bpftool map update pinned maps/namespaces-1 key hex 07 00 00 00 00 00 00 00 value hex 01 00 00 00'
const attaches = socketProgramNames.map(p => `bpftool cgroup attach <root of cgroup 2> ${p} pinned programs/${generation}/${p}`)

test('programs are attached, then the namespace is named', () => {
  assert.deepEqual(lines(generation, own, { sockets: [], entries: [] }), [...attaches, puts])
})

test('what is done already is not done again; other programs are replaced', () => {
  assert.deepEqual(lines(generation, own, { sockets: running(generation), entries: [own] }), [])
  assert.deepEqual(lines(generation, own, { sockets: running(before), entries: [own] }), attaches)
  const some = [...running(generation).slice(1), { program: 'connect4', name: 'in another cgroup' } as const]
  assert.deepEqual(lines(generation, own, { sockets: some, entries: [ownNamespace(8n)] }), [attaches[0], puts])
})

test('a kernel without cookies means the initial namespace', () => {
  assert.equal(ownNamespace().key, '0000000000000000')
})
