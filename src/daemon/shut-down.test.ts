// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shutDown } from '#daemon/shut-down.ts'
import { realClock } from '#lib/clock.ts'
import { DaemonWorld } from '../../test/support/daemon-world.ts'
import { until } from '../../test/support/until.ts'

test('a DEL under way at the end has withdrawn its routes before the kernel is let go of', async () => {
  await using world = new DaemonWorld(['10.0.0.1'])
  const daemon = await world.started()
  world.cluster.pod('web')
  assert.equal((await world.add('web')).exit, 0)
  const order: string[] = []
  const step = (what: string) => async () => void order.push(what)
  world.kernel.latency = () => 100
  world.kernel.fault = call => void order.push(call)
  const reply = world.del('c-web')
  await until(() => daemon.state.leases()[0]?.state === 'dying')
  await shutDown(
    { exposed: { close: step('exposed') }, daemon, datapath: { close: step('kernel') }, ledger: { close: step('ledger') } },
    realClock,
  )
  assert.deepEqual(
    order.filter(what => ['withdraw', 'kernel', 'ledger'].includes(what)),
    ['withdraw', 'kernel', 'ledger'],
  )
  assert.deepEqual(await reply, { exit: 0, body: undefined })
})

test('what does not end is not waited for, and keeps kernel and ledger', async () => {
  let closed = 0
  const close = async () => void closed++
  const stop = () => new Promise<void>(() => {})
  await shutDown({ exposed: { close }, daemon: { stop }, datapath: { close }, ledger: { close } }, { sleep: async () => {} })
  assert.equal(closed, 1)
})
