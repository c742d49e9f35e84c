// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maps } from '#kernel/bpf/maps.ts'
import { parseIpv4 } from '#net/ip.ts'
import { row } from '../measure/row.ts'
import { pictureOf } from '../show/pictures.ts'
import { baselineOf, cells, figureOf } from './cells.ts'
import { datapathFigures } from './figures.ts'
import { policyOps } from './policy.ts'

test('every cell has a figure of its own, and a baseline that is measured', () => {
  const names = cells.map(figureOf)
  assert.equal(new Set(names).size, names.length)
  for (const cell of cells) assert.ok(names.includes(baselineOf(cell)), figureOf(cell))
  assert.ok(names.includes('dp.v2.crossnode.crr.2cpu.vs_host'))
  assert.ok(names.includes('dp.v2.crossnode.stream.vs_host'))
})

test('the goals are those of rows that exist, and floors', () => {
  const withGoal = Object.entries(datapathFigures).filter(([, f]) => f.goal !== undefined)
  assert.equal(withGoal.length, 12)
  for (const [name, f] of withGoal) assert.equal(f.atLeast ?? false, name.endsWith('.vs_host'), name)
})

test('the policy has 1 000 entries, and allows the pods one port in both directions', () => {
  const ops = policyOps([4, 5], [parseIpv4('10.0.9.11')], 7777).flatMap(op => (op.op === 'map-put' ? [op] : []))
  const keys = ops.filter(op => op.map === 'policies').map(op => op.key)
  assert.equal(keys.length, 1000)
  assert.equal(new Set(keys).size, 1000)
  const ports = keys.map(key => maps.policies.key.decode(Buffer.from(key, 'hex'))).filter(({ port }) => port === 7777)
  assert.deepEqual(
    ports.map(({ direction, protocol }) => [direction, protocol]),
    [
      [1, 6],
      [1, 17],
      [2, 6],
      [2, 17],
    ],
  )
  assert.equal(ops.filter(op => op.map === 'endpoint_policies').length, 2)
})

test('the picture shows each way on one CPU with its goal', () => {
  const rows = [row('dp.v2.crossnode.tcp_rr.1cpu.vs_host', [0.9]), row('dp.veth.samenode.stream.vs_host', [0.8])]
  const picture = pictureOf('datapath', rows, undefined) ?? ''
  for (const wanted of ['>V2, two nodes<', '>regular, one node<', 'class="goal"']) assert.ok(picture.includes(wanted), wanted)
})
