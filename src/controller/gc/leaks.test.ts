// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Eni } from '#cloud/port.ts'
import { findLeaks } from '#controller/gc/leaks.ts'
import { tagsFor } from '#controller/tags.ts'
import type { NodeCr } from '#kube/crd/node.ts'
import { parseIpv4 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'

const now = Date.UTC(2026, 0, 1, 12)
const eni = (id: string, extra: Partial<Eni> = {}): Eni => ({
  id,
  status: 'Available',
  type: 'Secondary',
  trafficMode: 'Standard',
  mac: parseMac('02:00:00:00:00:01'),
  vSwitchId: 'v',
  zoneId: 'z',
  securityGroupIds: [],
  primaryIp: parseIpv4('10.0.0.1'),
  ipv4: [],
  ipv6: [],
  ipv4Prefixes: [],
  ipv6Prefixes: [],
  tags: tagsFor('c1', 'node-1', `token-${id}`, {}),
  creationTime: '2026-01-01T11:00Z',
  ...extra,
})
const cr: NodeCr = {
  apiVersion: 'network.alibabacloud.com/v1beta1',
  kind: 'Node',
  metadata: { name: 'node-1' },
  spec: { nodeMetadata: { regionID: 'r', instanceType: 't', instanceID: 'i-1', zoneID: 'z' } },
  status: {
    networkInterfaces: { 'eni-known': { id: 'eni-known', status: 'InUse' } },
    intents: {
      'token-eni-coming': {
        token: 'token-eni-coming',
        kind: 'create-eni',
        vSwitchID: 'v',
        ipv4Count: 1,
        ipv6Count: 0,
        since: '2026-01-01T11:00:00Z',
      },
    },
  },
}
const find = (...enis: readonly Eni[]) => findLeaks({ enis, crs: [cr], instances: new Set(['i-2']), clusterId: 'c1', now, age: 600_000 })

test('deleted is what nothing accounts for: neither a record, nor an intent, nor youth, nor another owner', () => {
  const leaks = find(
    eni('eni-known'),
    eni('eni-coming'),
    eni('eni-young', { creationTime: '2026-01-01T11:55Z' }),
    eni('eni-ageless', { creationTime: '' }),
    eni('eni-other-cluster', { tags: tagsFor('c2', 'n', 't', {}) }),
    eni('eni-terway', { tags: [{ key: 'creator', value: 'terway' }] }),
    eni('eni-leaked'),
  )
  assert.deepEqual(
    leaks.toDelete.map(e => e.id),
    ['eni-leaked'],
  )
})

test('an attached one is detached only when its instance is no node; else the node looks again', () => {
  const on = (id: string, instanceId: string) => eni(id, { status: 'InUse', instanceId })
  const leaks = find(on('eni-a', 'i-1'), on('eni-b', 'i-2'), on('eni-c', 'i-3'))
  assert.deepEqual(leaks.unrecorded, [{ node: 'node-1', eniId: 'eni-a' }])
  assert.deepEqual(
    leaks.toDetach.map(e => e.id),
    ['eni-c'],
  )
  assert.deepEqual(leaks.toDelete, [])
})
