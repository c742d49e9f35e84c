// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { busiestPods, refusedPods } from '#daemon/pod-flows.ts'
import type { Lease } from '#ipam/ledger.ts'
import { parseIp, parseIpv4, parseIpv6 } from '#net/ip.ts'

const lease = (podName: string, address4: string, address6: string, state: Lease['state'] = 'held') =>
  ({
    ...{ podNamespace: 'shop', podName, podUid: `uid-${podName}`, state },
    attachment: { v4: { address: parseIpv4(address4) }, v6: { address: parseIpv6(address6) } },
  }) as unknown as Lease

test('the pods that have most flows of both families, and nobody else', () => {
  const leases = [
    lease('web', '10.0.1.5', 'fd00::5'),
    lease('db', '10.0.1.6', 'fd00::6'),
    lease('idle', '10.0.1.7', 'fd00::7'),
    lease('gone', '10.0.1.8', 'fd00::8', 'dying'),
    lease('small', '10.0.1.9', 'fd00::9'),
  ]
  const flows = { '10.0.1.5': 3, 'fd00::5': 4, '10.0.1.6': 9, '10.0.1.8': 99, '10.0.1.9': 1, '10.0.1.99': 5 }
  const live = new Map(Object.entries(flows).map(([ip, n]) => [parseIp(ip), n]))
  assert.deepEqual(busiestPods(live, leases, 2), [
    { namespace: 'shop', pod: 'db', flows: 9 },
    { namespace: 'shop', pod: 'web', flows: 7 },
  ])
})

test('what was refused to a pod of both families counts once', () => {
  const leases = [lease('web', '10.0.1.5', 'fd00::5'), lease('db', '10.0.1.6', 'fd00::6')]
  const refused = new Map([parseIp('10.0.1.5'), parseIp('fd00::5')].map(ip => [ip, 9]))
  assert.deepEqual(refusedPods(refused, leases), [{ namespace: 'shop', pod: 'web', uid: 'uid-web', flows: 9 }])
})
