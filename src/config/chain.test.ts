// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chainOf } from '#config/chain.ts'

const terway = { type: 'terway', capabilities: { x: true } }
const chain = (...plugins: readonly Record<string, unknown>[]) => chainOf('file', plugins)

test('bandwidth is left out, and terway is asked in its place', () => {
  const [asked] = chain(terway, { type: 'bandwidth', capabilities: { bandwidth: true } }).plugins
  assert.deepEqual(asked, { type: 'terway', capabilities: { x: true, bandwidth: true } })
  const { plugins, dropped } = chain({ type: 'terway' }, { type: 'bandwidth' })
  assert.deepEqual([plugins, dropped], [[{ type: 'terway' }], ['bandwidth (Terway limits pods itself, by the same numbers)']])
})

test("bandwidth's own numbers win over those of the pod", () => {
  const fixed = { type: 'bandwidth', capabilities: { bandwidth: true }, ingressRate: 8000, ingressBurst: 8000 }
  assert.deepEqual(chain({ ...terway, capabilities: { bandwidth: true } }, fixed).plugins, [
    { type: 'terway', capabilities: { bandwidth: false }, runtimeConfig: { bandwidth: { ingressRate: 8000, egressRate: 0 } } },
  ])
})

test('what Terway cannot limit in its place is refused', () => {
  assert.throws(() => chain(terway, { type: 'bandwidth', unshapedSubnets: ['10.0.0.0/8'] }), {
    code: 'bad-config',
    message: 'file: plugins[1].unshapedSubnets must be removed: Terway limits all that a pod sends and receives',
  })
  assert.throws(() => chain(terway, { type: 'bandwidth', egressRate: 'x' }), /plugins\[1\]\.egressRate is "x", must be a whole number/)
})

test('terway comes once more behind plugins that may change the interface of a pod', () => {
  const types = (...plugins: readonly string[]) => chain(...plugins.map(type => ({ type }))).plugins.map(p => (p.again ? 'again' : p.type))
  assert.deepEqual(types('terway', 'tuning', 'portmap'), ['terway', 'tuning', 'portmap', 'again'])
  assert.deepEqual(types('terway', 'portmap'), ['terway', 'portmap'])
  assert.deepEqual(types('loopback', 'tuning', 'terway'), ['loopback', 'tuning', 'terway'])
  assert.deepEqual(types('terway', 'cilium-cni', 'bandwidth'), ['terway'])
})
