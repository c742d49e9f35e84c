// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KubeModel } from '../../test/support/kube-model.ts'
import { VirtualClock } from '../../test/support/virtual-clock.ts'
import { coreEvents, EventRecorder, newEvents } from './events.ts'
import type { EventInput } from './port.ts'

const about = { apiVersion: 'v1', kind: 'Pod', name: 'web-0', namespace: 'shop', uid: 'p1' }
const failed: EventInput = { about, type: 'Warning', reason: 'AllocIPFailed', message: 'vSwitch vsw-1 is full', action: 'AllocIP' }

function recorder() {
  const clock = new VirtualClock()
  const model = new KubeModel(clock)
  return { clock, model, events: new EventRecorder(model.client('a'), clock, { controller: 'terway-daemon', instance: 'cn-a' }) }
}

test('repeats within a minute are counted and told by the next one', async () => {
  const { clock, model, events } = recorder()
  for (let i = 0; i < 10; i++) events.report(failed)
  await clock.advance(59_000)
  assert.deepEqual(
    model.all(newEvents).map(e => [e.metadata.namespace, e.note, e.series]),
    [['shop', 'vSwitch vsw-1 is full', undefined]],
  )
  await clock.advance(2_000)
  events.report(failed)
  await clock.advance(1_000)
  const [event, ...rest] = model.all(newEvents)
  assert.deepEqual(event?.series, { count: 11, lastObservedTime: '2026-01-01T00:01:01.000000Z' })
  assert.deepEqual(rest, [])
})

test('when the API server has dropped the event, a new one begins', async () => {
  const { clock, model, events } = recorder()
  events.report(failed)
  await clock.advance(1_000)
  const [first] = model.all(newEvents)
  model.remove(newEvents, first?.metadata.name ?? '', 'shop')
  await clock.advance(3_600_000)
  events.report(failed)
  await clock.advance(1_000)
  const [second, ...rest] = model.all(newEvents)
  assert.notEqual(second?.metadata.name, first?.metadata.name)
  assert.deepEqual(rest, [])
})

test('a flood of different events is limited', async () => {
  const { clock, model, events } = recorder()
  for (let i = 0; i < 1000; i++) events.report({ ...failed, message: `pod ${i}` })
  await clock.advance(1_000)
  assert.equal(model.all(newEvents).length, 25)
  await clock.advance(10_000)
  for (let i = 0; i < 1000; i++) events.report({ ...failed, message: `later ${i}` })
  await clock.advance(1_000)
  assert.equal(model.all(newEvents).length, 36)
})

test('without rights on events.k8s.io it uses the core group, and stays there', async () => {
  const { clock, model, events } = recorder()
  model.faults.failNext('forbidden', 1, { verb: 'create' })
  events.report(failed)
  await clock.advance(1_000)
  const [event] = model.all(coreEvents)
  assert.deepEqual([event?.involvedObject, event?.message, event?.count], [about, 'vSwitch vsw-1 is full', 1])
  await clock.advance(61_000)
  events.report(failed)
  await clock.advance(1_000)
  assert.equal(model.all(coreEvents)[0]?.count, 2)
  assert.deepEqual(model.all(newEvents), [])
})

test('a failure is swallowed', async () => {
  const { clock, model, events } = recorder()
  model.faults.unavailable(true)
  events.report(failed)
  await clock.advance(1_000)
  model.faults.unavailable(false)
  assert.deepEqual(model.all(newEvents), [])
})
