// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseControllerConfig, parseSecret } from '#controller/config.ts'

const least = 'clusterID: c1\nvpcID: vpc-1\n'

test("Terway's defaults", () => {
  const { config, unknownKeys } = parseControllerConfig(least)
  assert.deepEqual(unknownKeys, [])
  assert.equal(config.controllerName, 'terway-controlplane')
  assert.equal(config.syncPeriod, 12 * 3_600_000)
  assert.equal(config.adjustPeriod, 120_000)
  assert.deepEqual(config.vSwitchCache, { size: 1000, ttl: 1_200_000 })
  assert.equal(config.metricsBindAddress, '0')
})

test('every problem is told at once, by the name of its key', () => {
  const text =
    'vpcID: vpc-1\nmultiIPNodeMaxConcurrent: 0\nvSwitchCacheTTL: soon\nrateLimit: {AttachNetworkInterface: 0}\ncontrollers: [pod-eni]\ndegradation: l1\n'
  assert.throws(
    () => parseControllerConfig(text),
    (e: Error) =>
      ['clusterID', 'multiIPNodeMaxConcurrent', 'vSwitchCacheTTL', 'rateLimit.AttachNetworkInterface', 'pod-eni', 'degradation'].every(k =>
        e.message.includes(k),
      ),
  )
})

test("unknown keys are reported, the chart's are not", () => {
  const text = `${least}disableWebhook: true\ncentralizedIPAM: true\ncontrollers: [node, multi-ip-node, multi-ip-pod]\nsurprise: 1\n`
  assert.deepEqual(parseControllerConfig(text).unknownKeys, ['surprise'])
})

test('a secret is whole, and never quoted', () => {
  assert.deepEqual(parseSecret('accessKey: a\naccessSecret: b\n'), { accessKey: 'a', accessSecret: 'b', credentialPath: '' })
  assert.throws(
    () => parseSecret('accessKey: hidden-value\n'),
    (e: Error) => !e.message.includes('hidden-value'),
  )
})
