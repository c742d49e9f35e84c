// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiVersion, node, nodeRuntime, podNetworking, recorded } from '../../../test/support/recorded.ts'
import { nodeCrs } from './node.ts'
import { nodeRuntimes } from './node-runtime.ts'
import { podNetworkings } from './pod-networking.ts'

for (const [r, object] of recorded)
  test(`${r.plural}: what Terway wrote survives parse unchanged`, () => {
    assert.deepEqual(r.parse(structuredClone(object)), object)
  })

test('fields of a later version survive parse, in spec, status and maps', () => {
  const nic = node.status.networkInterfaces['eni-1']
  const later = {
    ...node,
    spec: { ...node.spec, eni: { ...node.spec.eni, later: { a: [1, 2] } }, later: true },
    status: {
      networkInterfaces: { 'eni-1': { ...nic, later: 1, ipv4: { '10.0.1.2': { ...nic.ipv4['10.0.1.2'], later: true } } } },
      later: 'x',
    },
  }
  assert.deepEqual(nodeCrs.parse(structuredClone(later)), later)
})

test('managedFields and nulls are dropped, a missing spec is empty', () => {
  const parsed = nodeCrs.parse({ metadata: { name: 'a', managedFields: [{ manager: 'x' }] }, status: { nextSyncOpenAPITime: null } })
  assert.deepEqual(parsed, { apiVersion, kind: 'Node', metadata: { name: 'a' }, spec: {}, status: {} })
})

test('a pod networking from before eniOptions means the default', () => {
  const { eniOptions: _, ...spec } = podNetworking.spec
  assert.deepEqual(podNetworkings.parse({ ...podNetworking, spec }).spec.eniOptions, { eniType: 'Default' })
})

test('the fields that docs/addresses.md adds are typed', () => {
  const parsed = nodeCrs.parse({
    ...node,
    status: {
      networkInterfaces: {
        'eni-1': {
          id: 'eni-1',
          status: 'InUse',
          ipv4: { '10.0.1.3': { ip: '10.0.1.3', primary: false, status: 'Deleting', releaseNonce: 'n1' } },
        },
      },
      intents: { t1: { token: 't1', kind: 'create-eni', vSwitchID: 'vsw-1', ipv4Count: 10, ipv6Count: 0, since: '2026-05-01T11:00:00Z' } },
    },
  })
  assert.equal(parsed.status?.networkInterfaces?.['eni-1']?.ipv4?.['10.0.1.3']?.releaseNonce, 'n1')
  assert.equal(parsed.status?.intents?.t1?.kind, 'create-eni')
  const runtime = nodeRuntimes.parse({
    ...nodeRuntime,
    status: {
      pods: { p1: { podID: 'a/b', status: {}, ipv4: '10.0.1.2', ipv6: 'fd00::2', eniID: 'eni-1', containerID: 'c1' } },
      releases: { '10.0.1.3': { nonce: 'n1', answer: 'acked', lastUpdateTime: '2026-05-01T11:00:00Z' } },
    },
  })
  assert.equal(runtime.status?.pods?.p1?.containerID, 'c1')
  assert.equal(runtime.status?.releases?.['10.0.1.3']?.answer, 'acked')
})

test('a bad object names every wrong field by its path', () => {
  const bad = structuredClone(node) as {
    status: { networkInterfaces: Record<string, { status?: unknown; ipv4: Record<string, unknown> }> }
  }
  bad.status.networkInterfaces['eni-1'] = { ipv4: { '10.0.1.1': { ip: '10.0.1.1', primary: 'yes', status: 'Stale' } } }
  assert.throws(() => nodeCrs.parse(bad), {
    code: 'bad-object',
    message:
      'Node cn-hangzhou.10.0.0.5: status.networkInterfaces.eni-1.id is missing, must be present; ' +
      'status.networkInterfaces.eni-1.status is missing, must be present; ' +
      'status.networkInterfaces.eni-1.ipv4["10.0.1.1"].primary is "yes", must be true or false; ' +
      'status.networkInterfaces.eni-1.ipv4["10.0.1.1"].status is "Stale", must be one of Valid, Invalid, Deleting',
  })
})

test('a wrong kind, a missing name and a non-object are bad objects', () => {
  assert.throws(() => nodeCrs.parse({ kind: 'Pod', metadata: { name: 'a' } }), {
    code: 'bad-object',
    message: 'kind is "Pod", must be Node',
  })
  assert.throws(() => nodeCrs.parse({ metadata: {} }), { code: 'bad-object', message: 'Node ?: metadata.name is missing, must be present' })
  assert.throws(() => nodeCrs.parse('x'), { code: 'bad-object' })
})
