// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultOptions } from '#daemon/deps.ts'
import { Pods } from '#daemon/pods.ts'
import { realClock } from '#lib/clock.ts'
import { silent } from '#lib/log.ts'
import { KubeModel } from '../../test/support/kube-model.ts'
import { VirtualClock } from '../../test/support/virtual-clock.ts'

test('how long a pod is gone counts from the first question, and is forgotten when many others are asked about since', async () => {
  const clock = new VirtualClock()
  const pods = new Pods({ kube: new KubeModel(realClock).client('terwayd'), clock, log: silent }, { ...defaultOptions, nodeName: 'node-1' })
  await pods.start()
  const ask = (uid: string) => pods.goneFor('default/web', uid)
  assert.equal(ask('u'), 0)
  await clock.advance(1_000)
  assert.equal(ask('u'), 1_000)
  for (let i = 0; i < 1_999; i++) ask(`other-${i}`)
  await clock.advance(1_000)
  assert.equal(ask('u'), 2_000, 'whoever is still asked about is remembered')
  for (let i = 0; i < 2_000; i++) ask(`another-${i}`)
  assert.equal(ask('u'), 0)
  pods.stop()
})
