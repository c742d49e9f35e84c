// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { maps } from '#kernel/bpf/maps.ts'
import { serviceScope } from '#kernel/bpf/words.ts'
import { makePinnedMaps } from '#kernel/pinned-maps.ts'
import type { Kernel } from '#kernel/port.ts'
import { endpointSlices } from '#kube/reflect/endpoint-slice.ts'
import { nodes } from '#kube/reflect/node.ts'
import { services } from '#kube/reflect/service.ts'
import { realClock } from '#lib/clock.ts'
import { silent } from '#lib/log.ts'
import { policyMetrics } from '#lib/metrics.ts'
import { parseIp } from '#net/ip.ts'
import { defaultOptions } from '#policyd/deps.ts'
import { Policyd } from '#policyd/policyd.ts'
import { serviceMaps } from '#state/entry.ts'
import { KubeModel } from '../support/kube-model.ts'
import { until } from '../support/until.ts'
import { applied, BpfLab, sizes } from './bpf-lab.ts'

/** terway-policy and the kernel's own maps. */
let lab: BpfLab
let kernel: Kernel
let cluster: KubeModel
before(async () => {
  lab = new BpfLab()
  kernel = await lab.kernel()
})
after(() => lab.close())
beforeEach(async () => {
  await kernel.unloadPrograms()
  cluster = new KubeModel(realClock)
  cluster.put(nodes, nodes.parse({ metadata: { name: 'n' }, status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] } }))
})

const retry = { ...defaultOptions.sync.retry, duration: 20, cap: 50 }
const sync = { lookInterval: 20, sweepInterval: 120, retry }

/** Begins on the node `n`, and stops with the test. */
function begin(): { readonly policyd: Policyd; metric(line: RegExp): Promise<number> } {
  const metrics = policyMetrics()
  const deps = {
    kube: cluster.client('policyd'),
    kernel: makePinnedMaps(lab.pins),
    clock: realClock,
    log: silent,
    metrics,
    cutSockets: async () => undefined,
  }
  const policyd = new Policyd(deps, { ...defaultOptions, nodeName: 'n', proxyHealth: '127.0.0.1:0', sync })
  policyd.start().catch(() => undefined)
  return { policyd, metric: async line => Number(line.exec(await metrics.registry.metrics())?.[1] ?? 0) }
}

function service(n: number, backends: readonly string[]): void {
  const metadata = { namespace: 'default', name: `s${n}` }
  const ip = `172.21.0.${n}`
  const spec = { clusterIP: ip, clusterIPs: [ip], ports: [{ name: '', protocol: 'TCP', port: 80 }] }
  cluster.put(services, services.parse({ metadata, spec }))
  const slice = {
    metadata: { ...metadata, labels: { 'kubernetes.io/service-name': `s${n}` } },
    addressType: 'IPv4',
    endpoints: backends.map(b => ({ addresses: [b], conditions: { ready: true } })),
    ports: [{ name: '', protocol: 'TCP', port: 8080 }],
  }
  cluster.put(endpointSlices, endpointSlices.parse(slice))
}

const contents = async () =>
  Object.fromEntries(
    await Promise.all(
      serviceMaps.map(async map => {
        const entries = await kernel.mapEntries(map)
        return [map, entries.map(e => `${Buffer.from(e.key).toString('hex')} ${Buffer.from(e.value).toString('hex')}`).toSorted()] as const
      }),
    ),
  )

/** How many backends the maps give to who asks for the Service. */
async function backendsOf(n: number): Promise<number | undefined> {
  const wanted = maps.services.key.encode({ ip: parseIp(`172.21.0.${n}`), port: 80, protocol: 6, scope: serviceScope.inside })
  const found = (await kernel.mapEntries('services')).find(e => wanted.equals(e.key))
  if (found === undefined) return undefined
  const { set } = maps.services.value.decode(found.value)
  const sets = await kernel.mapEntries('backend_sets')
  const count = sets.find(e => maps.backend_sets.key.encode({ set }).equals(e.key))
  return count && maps.backend_sets.value.decode(count.value).count
}

test('maps that are made later are filled, a change goes there, and a restart changes nothing', async t => {
  const { policyd } = begin()
  t.after(() => policyd.stop())
  service(1, ['10.0.0.1', '10.0.0.2'])
  await until(() => policyd.status().pinned === false)
  await kernel.loadPrograms(sizes)
  await until(() => policyd.status().synced)
  assert.equal(await backendsOf(1), 2)
  service(1, ['10.0.0.1', '10.0.0.2', '10.0.0.3'])
  service(2, [])
  await until(async () => (await backendsOf(1)) === 3 && (await backendsOf(2)) === 0)
  await policyd.stop()
  const before = await contents()
  const next = begin()
  t.after(() => next.policyd.stop())
  service(3, ['10.0.0.4'])
  await until(async () => (await backendsOf(3)) === 1)
  const now = await contents()
  for (const map of serviceMaps) for (const line of before[map] ?? []) assert.ok(now[map]?.includes(line), `${map} ${line}`)
  cluster.remove(services, 's3', 'default')
  await until(async () => (await backendsOf(3)) === undefined)
})

test('maps that are made anew are written again, and damage is put right', async t => {
  await kernel.loadPrograms(sizes)
  service(1, ['10.0.0.1'])
  const { policyd, metric } = begin()
  t.after(() => policyd.stop())
  await until(() => policyd.status().synced)
  const before = await contents()
  await kernel.unloadPrograms()
  await until(() => !policyd.status().pinned)
  await kernel.loadPrograms(sizes)
  await until(() => policyd.status().synced)
  assert.deepEqual(await contents(), before)
  const [line = ''] = before.backends ?? []
  const [key = '', value = ''] = line.split(' ')
  await applied(kernel, [
    { op: 'map-put', ns: 'host', map: 'backends', key, value: `${value.slice(0, 40)}ffff${value.slice(44)}` },
    { op: 'map-put', ns: 'host', map: 'backends', key: 'ffffff00', value },
  ])
  await until(async () => (await metric(/repairs_total\{map="backends",damage="foreign"\} (\d+)/)) > 0)
  await until(async () => JSON.stringify(await contents()) === JSON.stringify(before))
  assert.ok((await metric(/repairs_total\{map="backends",damage="changed"\} (\d+)/)) > 0)
})

test('a map that is full holds up nothing else, and heals', async t => {
  await kernel.loadPrograms({ ...sizes, services: 2 })
  for (const n of [1, 2, 3]) service(n, [`10.0.0.${n}`])
  const { policyd, metric } = begin()
  t.after(() => policyd.stop())
  await until(async () => (await metric(/map_errors_total\{map="services",errno="E2BIG"\} (\d+)/)) > 0)
  await until(() => policyd.status().synced)
  assert.equal((await kernel.mapEntries('backends')).length, 3)
  assert.match(policyd.status().lastError ?? '', /E2BIG/)
  const counts = await Promise.all([1, 2, 3].map(backendsOf))
  assert.deepEqual(counts.toSorted(), [1, 1, undefined])
  const served = 1 + counts.indexOf(1)
  service(served, ['10.0.0.1', '10.0.0.2', '10.0.0.3'])
  await until(async () => (await backendsOf(served)) === 3)
  cluster.remove(services, `s${served}`, 'default')
  await until(async () => (await backendsOf(1 + counts.indexOf(undefined))) === 1)
  await until(() => policyd.status().lastError === undefined)
})
