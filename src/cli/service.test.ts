// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CliDeps } from '#cli/deps.ts'
import { serviceList, serviceShow } from '#cli/service.ts'

const [one, two] = [
  { id: 7, address: '10.0.1.5:8080/TCP' },
  { id: 8, address: '10.0.2.6:8080/TCP' },
]
const web = {
  namespace: 'shop',
  name: 'web',
  affinitySeconds: 600,
  maglev: false,
  frontends: [
    {
      address: '10.96.0.10:80/TCP',
      kind: 'ClusterIP',
      served: true,
      sourceRanges: [],
      inside: { local: false, keepSource: false, backends: [one, two] },
    },
    {
      address: '192.0.2.10:30080/TCP',
      kind: 'NodePort',
      served: false,
      sourceRanges: ['203.0.113.0/24'],
      inside: { local: false, keepSource: false, backends: [one, two] },
      outside: { local: true, keepSource: true, backends: [] },
    },
  ],
}

function node(answer: object) {
  const lines: string[] = []
  const asked: string[] = []
  const policy = async (path: string) => {
    asked.push(path)
    return { node: 'n', enabled: true, reason: '', maps: { synced: true, pending: 0 }, services: [web], ...answer }
  }
  return { deps: { out: (line: string) => lines.push(line), policy } as unknown as CliDeps, lines, asked }
}

test('a line for each address of a Service', async () => {
  const { deps, lines } = node({})
  await serviceList(deps, 'text')
  assert.deepEqual(lines, [
    'SERVICE   TYPE       ADDRESS               BACKENDS  NOTES',
    'shop/web  ClusterIP  10.96.0.10:80/TCP            2',
    'shop/web  NodePort   192.0.2.10:30080/TCP         2  another Service has it, local outside (0), source ranges',
  ])
})

test('one Service with its backends', async () => {
  const { deps, lines, asked } = node({})
  await serviceShow(deps, 'shop/web', 'text')
  assert.deepEqual(asked, ['/services?namespace=shop&name=web'])
  assert.deepEqual(lines, [
    'shop/web',
    '├─ session affinity: 600 s',
    '├─ ClusterIP 10.96.0.10:80/TCP',
    '│  └─ from the cluster',
    '│     ├─ 10.0.1.5:8080/TCP (backend 7)',
    '│     └─ 10.0.2.6:8080/TCP (backend 8)',
    '└─ NodePort 192.0.2.10:30080/TCP (another Service has it)',
    '   ├─ for 203.0.113.0/24 only',
    '   ├─ from the cluster',
    '   │  ├─ 10.0.1.5:8080/TCP (backend 7)',
    '   │  └─ 10.0.2.6:8080/TCP (backend 8)',
    "   └─ from outside, backends of this node only, the client's address is kept: no backend, dropped",
  ])
})

test('as JSON; what keeps it from being the whole truth; what there is not', async () => {
  const waiting = node({ maps: { synced: false, pending: 12, lastError: 'E2BIG' }, services: [] })
  await serviceList(waiting.deps, 'text')
  assert.equal(waiting.lines.at(-1), 'not everything is in the maps yet: 12 entries wait (E2BIG)')
  const noted = node({ notes: ['sockets keep what is gone'] })
  await serviceList(noted.deps, 'text')
  assert.equal(noted.lines.at(-1), 'sockets keep what is gone')
  const off = node({ enabled: false, reason: 'no capability', maps: null, services: [] })
  await assert.rejects(serviceShow(off.deps, 'shop/web', 'text'), {
    code: 'no-service',
    message: /kube-proxy translates Services on this node: no capability/,
  })
  await assert.rejects(serviceShow(off.deps, 'web', 'text'), { code: 'bad-argument' })
  const { deps, lines } = node({})
  await serviceShow(deps, 'shop/web', 'json')
  assert.deepEqual(JSON.parse(lines[0] ?? ''), web)
})
