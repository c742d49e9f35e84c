// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Eni } from '#cloud/port.ts'
import { defaultWindows, Memory } from '#controller/eni/memory.ts'
import { mergeDescribed } from '#controller/eni/sync.ts'
import { creatorTag, intentTag } from '#controller/tags.ts'
import { isLost } from '#ipam/pool.ts'
import type { NodeStatus } from '#kube/crd/node.ts'
import { parseIpv4 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'

const at = '2026-01-01T00:00:00Z'
const ips = (...last: readonly number[]) => last.map(n => parseIpv4(`10.0.0.${n}`))
const eni = (id: string, ipv4: readonly number[], tags = [creatorTag]): Eni => ({
  id,
  status: 'InUse',
  type: 'Secondary',
  trafficMode: 'Standard',
  mac: parseMac('02:00:00:00:00:01'),
  vSwitchId: 'v',
  zoneId: 'z',
  securityGroupIds: [],
  primaryIp: parseIpv4(`10.0.0.${ipv4[0]}`),
  ipv4: ips(...ipv4),
  ipv6: [],
  ipv4Prefixes: [],
  ipv6Prefixes: [],
  tags,
  instanceId: 'i-1',
})
const recorded = (...last: readonly number[]): NodeStatus => ({
  networkInterfaces: {
    'eni-1': {
      id: 'eni-1',
      status: 'InUse',
      ipv4: Object.fromEntries(ips(...last).map((ip, n) => [ip, { ip, primary: n === 0, status: 'Valid' }])),
    },
  },
})
const { lag } = defaultWindows
const merge = (status: NodeStatus, enis: readonly Eni[], memory: Memory, begun: number) =>
  mergeDescribed(status, {}, { enis, begun, vSwitches: new Map() }, memory, at)
const states = (s: NodeStatus) => Object.values(s.networkInterfaces?.['eni-1']?.ipv4 ?? {}).map(a => `${a.ip.slice(7)}:${a.status}`)

test('a young process believes nothing new; after the lag it takes in, and calls vanished, what the cloud says', () => {
  const memory = new Memory(0, defaultWindows)
  const cloud = [eni('eni-1', [1, 3])]
  assert.deepEqual(states(merge(recorded(1, 2), cloud, memory, lag - 1)), ['1:Valid', '2:Valid'])
  assert.deepEqual(states(merge(recorded(1, 2), cloud, memory, lag)).sort(), ['1:Valid', '2:Invalid', '3:Valid'])
})

test('what was just added does not vanish, what was just given back does not return', () => {
  const memory = new Memory(0, defaultWindows)
  memory.added('eni-1/10.0.0.2', 100_000)
  memory.removed('eni-1/10.0.0.3', 100_000)
  const cloud = [eni('eni-1', [1, 3])]
  assert.deepEqual(states(merge(recorded(1, 2), cloud, memory, 100_000 + lag - 1)), ['1:Valid', '2:Valid'])
  assert.deepEqual(states(merge(recorded(1, 2), cloud, memory, 100_000 + lag)).sort(), ['1:Valid', '2:Invalid', '3:Valid'])
})

test('an invalid address that is back is valid; one that is marked stays marked', () => {
  const memory = new Memory(0, defaultWindows)
  const status: NodeStatus = {
    networkInterfaces: {
      'eni-1': {
        id: 'eni-1',
        status: 'InUse',
        ipv4: {
          '10.0.0.1': { ip: '10.0.0.1', primary: true, status: 'Invalid' },
          '10.0.0.2': { ip: '10.0.0.2', primary: false, status: 'Deleting', releaseNonce: 'n' },
        },
      },
    },
  }
  assert.deepEqual(states(merge(status, [eni('eni-1', [1, 2])], memory, lag)), ['1:Valid', '2:Deleting'])
})

test('an ENI of a pending intent is left to it; an unknown one is taken in', () => {
  const memory = new Memory(0, defaultWindows)
  const intent = { token: 't1', kind: 'create-eni', vSwitchID: 'v', ipv4Count: 1, ipv6Count: 0, since: at } as const
  const enis = [eni('eni-coming', [5], [creatorTag, { key: intentTag, value: 't1' }]), eni('eni-new', [6])]
  const merged = merge({ intents: { t1: intent } }, enis, memory, lag)
  assert.deepEqual(Object.keys(merged.networkInterfaces ?? {}), ['eni-new'])
})

test('an ENI that vanishes while its primary address is not recorded is lost like any other', () => {
  const { networkInterfaces: { 'eni-1': nic } = {} } = recorded(1, 2)
  assert.ok(nic?.ipv4)
  const { '10.0.0.1': _, ...rest } = nic.ipv4
  const status: NodeStatus = { networkInterfaces: { 'eni-1': { ...nic, primaryIPAddress: '10.0.0.1', ipv4: rest } } }
  const merged = merge(status, [], new Memory(0, defaultWindows), lag)
  assert.deepEqual(states(merged).sort(), ['1:Invalid', '2:Invalid'])
  assert.ok(merged.networkInterfaces?.['eni-1'] !== undefined && isLost(merged.networkInterfaces['eni-1']))
})
