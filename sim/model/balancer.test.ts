// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { code, world } from '../testing.ts'

const listener = { protocol: 'tcp', port: 80, targets: [{ ip: '10.0.0.1', port: 30080 }] } as const

test('a balancer takes addresses of its vSwitch, or a public one and IPv6 of its vSwitch, and keeps them until it is deleted', () => {
  const { simulator } = world()
  const wanted = { name: 'inner', scheme: 'intranet', vSwitchId: 'vsw-a', families: [4, 6] } as const
  const inner = simulator.ensureBalancer(wanted)
  assert.deepEqual([inner.private4, inner.public4, inner.ipv6], [['10.0.0.2'], [], ['fd00::1']])
  assert.deepEqual(simulator.ensureBalancer(wanted), inner, 'the same name is the same balancer')
  const outer = simulator.ensureBalancer({ ...wanted, name: 'outer', scheme: 'internet' })
  assert.deepEqual([outer.private4, outer.public4, outer.ipv6], [[], ['203.0.113.200'], ['fd00::2']])
  simulator.setListeners('inner', [listener])
  assert.deepEqual(
    simulator.view().balancers.map(({ addresses, listeners }) => ({ addresses, listeners })),
    [
      { addresses: ['10.0.0.2', 'fd00::1'], listeners: [listener] },
      { addresses: ['203.0.113.200', 'fd00::2'], listeners: [] },
    ],
  )
  simulator.deleteBalancer('inner')
  simulator.deleteBalancer('inner')
  assert.deepEqual(simulator.ensureBalancer({ ...wanted, name: 'next', families: [4] }).private4, ['10.0.0.2'])
  assert.throws(() => simulator.setListeners('inner', []), code('InvalidResourceId.NotFound'))
  assert.throws(() => simulator.ensureBalancer({ ...wanted, name: 'lost', vSwitchId: 'vsw-none' }), code('InvalidVSwitchId.NotFound'))
})

test('balancers outlive the process, and the fabric is told of each change once', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'sim-balancer-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const { simulator } = world({}, dir)
  const views: number[] = []
  simulator.onView(view => views.push(view.balancers.flatMap(b => b.listeners).length))
  const made = simulator.ensureBalancer({ name: 'x', scheme: 'intranet', vSwitchId: 'vsw-a', families: [4] })
  simulator.setListeners('x', [listener])
  simulator.setListeners('x', [listener])
  assert.deepEqual(views, [0, 1])
  await simulator.stop()
  const next = world({}, dir).simulator
  assert.deepEqual(next.balancers(), [{ ...made, listeners: [listener] }])
  await next.stop()
})
