// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Readiness } from '#controller/readiness.ts'
import { realClock } from '#lib/clock.ts'
import { KubeModel } from '../../test/support/kube-model.ts'

const lease = { name: 'terway-controlplane', namespace: 'kube-system' }

test('a standby is ready while the API server answers', async () => {
  const model = new KubeModel(realClock)
  const readiness = new Readiness(model.client('controller'), lease)
  assert.deepEqual(await readiness.check(), { ok: true })
  model.faults.unavailable(true)
  const { ok, reason } = await readiness.check()
  assert.equal(ok, false)
  assert.match(reason ?? '', /the API server cannot be asked/)
  model.faults.unavailable(false)
  assert.deepEqual(await readiness.check(), { ok: true })
})

test('a leader is ready when it knows the cluster', async () => {
  const readiness = new Readiness(new KubeModel(realClock).client('controller'), lease)
  const known = Promise.withResolvers<void>()
  const leading = readiness.until('the watches have not delivered the cluster yet', known.promise)
  assert.deepEqual(await readiness.check(), { ok: false, reason: 'the watches have not delivered the cluster yet' })
  known.resolve()
  await leading
  assert.deepEqual(await readiness.check(), { ok: true })
})
