// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodes } from '#kube/reflect/node.ts'
import { decisionOf, undecided } from '#policyd/decision.ts'
import { readiness } from '#policyd/expose.ts'
import { healthAnswer } from '#policyd/health-checks.ts'
import { healthz, isEligible, livez, type ProxyState } from '#policyd/proxy-health.ts'

test('Services are ours only when terwayd says so', () => {
  for (const [text, ours, reason] of [
    [undefined, false, /not decided/],
    ['datapath = veth\n', false, /not set on this node: kube-proxy/],
    ['kube_proxy_replacement = false\n', false, /is false/],
    ['a = b\nkube_proxy_replacement = true\n', true, /is true/],
    ['nonsense\n', false, /cannot be read: line 1/],
  ] as const) {
    const decision = decisionOf(text)
    assert.equal(decision.ours, ours, reason.source)
    assert.match(decision.reason, reason)
    assert.equal(decision.algorithm, 'random')
  }
  assert.equal(decisionOf('kube_proxy_replacement = true\nservice_algorithm = maglev\n').algorithm, 'maglev')
})

test("health of the node's proxy, in kube-proxy's words", () => {
  const wall = Date.UTC(2026, 0, 1)
  const now = '2026-01-01T00:00:00.000Z'
  const state = (s: Partial<ProxyState>): ProxyState => ({ waiting: undefined, eligible: true, lastWrite: wall - 70_000, ...s })
  for (const [s, health, alive] of [
    [state({}), 200, 200],
    [state({ waiting: 59_000 }), 200, 200],
    [state({ waiting: 61_000 }), 503, 503],
    [state({ eligible: false }), 503, 200],
  ] as const) {
    assert.deepEqual([healthz(s, wall).status, livez(s, wall).status], [health, alive])
  }
  assert.deepEqual(healthz(state({}), wall).body, { lastUpdated: now, currentTime: now, nodeEligible: true })
  assert.deepEqual(livez(state({ waiting: 61_000 }), wall).body, { lastUpdated: '2025-12-31T23:58:50.000Z', currentTime: now })
})

test('a node on its way out takes no more of what load balancers send', () => {
  const node = (more: object) => nodes.parse({ metadata: { name: 'n' }, ...more })
  assert.equal(isEligible(node({ spec: { taints: [{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }] } })), true)
  assert.equal(isEligible(node({ spec: { taints: [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }] } })), false)
  assert.equal(isEligible(node({ metadata: { name: 'n', deletionTimestamp: '2026-01-01T00:00:00Z' } })), false)
})

test("a healthCheckNodePort answers as kube-proxy's", () => {
  const check = { port: 30000, namespace: 'default', name: 'web', localEndpoints: 2 }
  assert.deepEqual(healthAnswer(check, true), {
    status: 200,
    headers: { 'x-content-type-options': 'nosniff', 'x-load-balancing-endpoint-weight': '2' },
    body: { service: { namespace: 'default', name: 'web' }, localEndpoints: 2, serviceProxyHealthy: true },
  })
  assert.equal(healthAnswer({ ...check, localEndpoints: 0 }, true).status, 503)
  assert.equal(healthAnswer(check, false).status, 503)
})

test('ready when everything is in the maps, or when there is nothing to do', () => {
  const counts = { backends: 0, frontends: 0, backend_slots: 0, backend_sets: 0, source_ranges: 0, services: 0 }
  const maps = { pinned: true, synced: true, pending: 0, pendingSince: undefined, entries: counts, lastError: undefined }
  const view = (ours: boolean, m: typeof maps | undefined) =>
    readiness({ nodeName: 'n', decision: { ...undecided, ours }, maps: m, services: () => [], notes: [], unreadable: [] })
  assert.deepEqual(view(false, undefined), { ok: true })
  assert.deepEqual(view(true, undefined), { ok: false, reason: 'terwayd has made no maps yet' })
  assert.deepEqual(view(true, { ...maps, synced: false, pending: 7 }), { ok: false, reason: '7 entries are not in the maps yet' })
  assert.deepEqual(view(true, maps), { ok: true })
})
