// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type NodeCr, nodeCrs } from '#kube/crd/node.ts'
import { type NodeRuntime, nodeRuntimes } from '#kube/crd/node-runtime.ts'
import { type PodEni, podEnis } from '#kube/crd/pod-eni.ts'
import { type PodNetworking, podNetworkings } from '#kube/crd/pod-networking.ts'
import { Election } from '#kube/elect.ts'
import type { Kube, KubeObject, WatchHandler } from '#kube/port.ts'
import { type ConfigMap, configMaps } from '#kube/reflect/config-map.ts'
import { leases } from '#kube/reflect/lease.ts'
import { nodes } from '#kube/reflect/node.ts'
import { realClock } from '#lib/clock.ts'
import { until } from '../support/until.ts'
import { anyThings, things, type World } from './kube-world.ts'

const apiVersion = 'network.alibabacloud.com/v1beta1'
const nodeCr = (name: string, more: Partial<NodeCr> = {}): NodeCr => ({ apiVersion, kind: 'Node', metadata: { name }, spec: {}, ...more })
const podEni = (name: string, labels: Record<string, string> = {}): PodEni => ({
  apiVersion,
  kind: 'PodENI',
  metadata: { name, namespace: 'default', labels },
  spec: { zone: 'a' },
})
const configMap = (name: string, data: Record<string, string>): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'default' },
  data,
})

interface Log {
  readonly lines: string[]
  readonly errors: unknown[]
}

/** Writes each call as one line, e.g. "applied a". Names of `replaced` are sorted. */
function recorder<T extends KubeObject>(log: Log): WatchHandler<T> {
  return {
    replaced: items => log.lines.push(['replaced', ...items.map(i => i.metadata.name).sort()].join(' ')),
    applied: i => log.lines.push(`applied ${i.metadata.name}`),
    deleted: i => log.lines.push(`deleted ${i.metadata.name}`),
    interrupted: e => log.errors.push(e),
  }
}

const newLog = (): Log => ({ lines: [], errors: [] })

/** The behaviour that every implementation of the Kube port has. */
export function kubeSuite(name: string, start: () => Promise<World>): void {
  describe(name, () => {
    let world: World
    let kube: Kube
    before(async () => {
      world = await start()
      kube = world.client()
    })
    after(() => world?.stop())

    objects(() => kube)
    nodeConditions(() => kube)
    lists(() => kube)
    watches(
      () => world,
      () => kube,
    )
    garbageObjects(() => kube)
    elections(() => world)
  })
}

function objects(kube: () => Kube): void {
  test('create, get, list, delete', async () => {
    assert.equal(await kube().get(nodeCrs, 'cgld'), undefined)
    const created = await kube().create(nodeCrs, nodeCr('cgld', { spec: { datapath: { type: 'veth' } } }))
    assert.match(created.metadata.uid ?? '', /^[0-9a-f-]{36}$/)
    assert.match(created.metadata.creationTimestamp ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    assert.equal(created.metadata.generation, 1)
    assert.deepEqual(await kube().get(nodeCrs, 'cgld'), created)
    assert.deepEqual(
      (await kube().list(nodeCrs)).filter(n => n.metadata.name === 'cgld'),
      [created],
    )
    await assert.rejects(kube().create(nodeCrs, nodeCr('cgld')), { code: 'already-exists' })
    await kube().delete(nodeCrs, 'cgld')
    assert.equal(await kube().get(nodeCrs, 'cgld'), undefined)
    await kube().delete(nodeCrs, 'cgld')
  })

  test('a name or namespace that is missing is refused, never taken for an absent object', async () => {
    const invalid = { code: 'invalid', message: /a (name|namespace) is needed/ }
    await assert.rejects(kube().get(podEnis, 'a'), invalid)
    await assert.rejects(kube().delete(podEnis, 'a'), invalid)
    await assert.rejects(kube().patch(podEnis, 'a', { type: 'merge', body: {} }), invalid)
    await assert.rejects(kube().get(nodeCrs, ''), invalid)
  })

  test('a status given at creation is dropped; spec and status are written apart', async () => {
    const created = await kube().create(nodeRuntimes, { ...runtime('status'), status: { pods: {} } })
    assert.equal(created.status, undefined)
    const status = { pods: { p1: { podID: 'a/b', status: { initial: { lastUpdateTime: '2026-05-01T11:00:00Z' } }, ipv4: '10.0.0.1' } } }
    const written = await kube().replace(nodeRuntimes, { ...created, status }, 'status')
    assert.deepEqual(written.status, status)
    assert.equal(written.metadata.generation, 1)
    const labelled = await kube().replace(nodeRuntimes, {
      ...written,
      metadata: { ...written.metadata, labels: { name: 'x' } },
      status: {},
    })
    assert.deepEqual([labelled.metadata.labels, labelled.status], [{ name: 'x' }, status])
    const patched = await kube().patch(nodeRuntimes, 'status', {
      type: 'merge',
      body: { metadata: { labels: { name: 'y' } }, status: { pods: { p1: null } } },
      subresource: 'status',
    })
    assert.deepEqual([patched.metadata.labels, patched.status], [{ name: 'x' }, { pods: {} }])
  })

  test('replace is optimistic: only the holder of the present version may write', async () => {
    const first = await kube().create(nodeCrs, nodeCr('optimistic'))
    const second = await kube().replace(nodeCrs, { ...first, spec: { pool: { maxPoolSize: 5 } } })
    assert.equal(second.metadata.generation, 2)
    await assert.rejects(kube().replace(nodeCrs, { ...first, spec: {} }), { code: 'conflict' })
    const { resourceVersion: _, ...metadata } = second.metadata
    await assert.rejects(kube().replace(nodeCrs, { ...second, metadata }), { code: 'invalid' })
    await assert.rejects(kube().replace(nodeCrs, { ...second, metadata: { ...second.metadata, name: 'nowhere' } }), { code: 'not-found' })
    const same = await kube().replace(nodeCrs, second)
    assert.equal(same.metadata.resourceVersion, second.metadata.resourceVersion, 'a write that changes nothing makes no version')
  })

  test('merge patch merges and removes; with a resourceVersion it is optimistic', async () => {
    const first = await kube().create(nodeCrs, nodeCr('merge', { spec: { pool: { maxPoolSize: 5, minPoolSize: 1 } } }))
    const patched = await kube().patch(nodeCrs, 'merge', { type: 'merge', body: { spec: { pool: { minPoolSize: null, warmUpSize: 2 } } } })
    assert.deepEqual(patched.spec.pool, { maxPoolSize: 5, warmUpSize: 2 })
    const { resourceVersion } = first.metadata
    const stale = kube().patch(nodeCrs, 'merge', { type: 'merge', body: { metadata: { resourceVersion }, spec: { pool: null } } })
    await assert.rejects(stale, { code: 'conflict' })
    await assert.rejects(kube().patch(nodeCrs, 'nowhere', { type: 'merge', body: {} }), { code: 'not-found' })
  })

  test('JSON patch: all operations or none', async () => {
    await kube().create(nodeCrs, nodeCr('json', { spec: { pool: { maxPoolSize: 5 } } }))
    const add = { op: 'add', path: '/metadata/labels', value: { 'a/b': 'c' } }
    const patched = await kube().patch(nodeCrs, 'json', {
      type: 'json',
      body: [add, { op: 'add', path: '/metadata/labels/x~1y', value: 'z' }, { op: 'remove', path: '/spec/pool' }],
    })
    assert.deepEqual([patched.metadata.labels, patched.spec], [{ 'a/b': 'c', 'x/y': 'z' }, {}])
    const failing = [
      { op: 'add', path: '/spec/datapath', value: { type: 'veth' } },
      { op: 'test', path: '/metadata/labels/x~1y', value: 'other' },
    ]
    await assert.rejects(kube().patch(nodeCrs, 'json', { type: 'json', body: failing }), { code: 'invalid' })
    assert.deepEqual((await kube().get(nodeCrs, 'json'))?.spec, {})
  })

  test('deletion waits for finalizers, and for the right uid', async () => {
    const created = await kube().create(podEnis, {
      ...podEni('final'),
      metadata: { name: 'final', namespace: 'default', finalizers: ['network.alibabacloud.com/pod-eni'] },
    })
    await assert.rejects(kube().delete(podEnis, 'final', 'default', '00000000-0000-4000-8000-000000000000'), { code: 'conflict' })
    await kube().delete(podEnis, 'final', 'default', created.metadata.uid)
    const dying = await kube().get(podEnis, 'final', 'default')
    assert.notEqual(dying?.metadata.deletionTimestamp, undefined)
    await kube().patch(podEnis, 'final', { type: 'merge', body: { metadata: { finalizers: null } } }, 'default')
    assert.equal(await kube().get(podEnis, 'final', 'default'), undefined)
  })

  test('the schema holds: wrong values are refused by path, unknown fields are pruned, defaults are set', async () => {
    const spec = { allocationType: {}, nonsense: { a: 1 }, vSwitchOptions: ['vsw-1'] }
    const object = { apiVersion, kind: 'PodNetworking', metadata: { name: 'schema' }, spec } as unknown as PodNetworking
    const created = await kube().create(podNetworkings, object)
    assert.deepEqual(created.spec, {
      eniOptions: { eniType: 'Default' },
      allocationType: { type: 'Elastic' },
      vSwitchOptions: ['vsw-1'],
      vSwitchSelectOptions: { vSwitchSelectionPolicy: 'ordered' },
    })
    const wrong = { type: 'merge', body: { spec: { allocationType: { type: 'Sticky' } } } } as const
    await assert.rejects(kube().patch(podNetworkings, 'schema', wrong), { code: 'invalid', message: /spec\.allocationType\.type/ })
    const nulls = await kube().patch(podNetworkings, 'schema', { type: 'json', body: [{ op: 'add', path: '/spec/selector', value: null }] })
    assert.equal('selector' in nulls.spec, false)
  })
}

function nodeConditions(kube: () => Kube): void {
  test('a strategic merge patch changes one condition of a node and leaves the others', async () => {
    const ready = { type: 'Ready', status: 'True', reason: 'KubeletReady' }
    await kube().create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'strategic' }, spec: {} })
    const conditions = async (...changes: readonly { type: string; status: string; reason?: string }[]) => {
      const body = { status: { conditions: changes } }
      return (await kube().patch(nodes, 'strategic', { type: 'strategic', subresource: 'status', body })).status?.conditions
    }
    const seen = async (...changes: readonly { type: string; status: string; reason?: string }[]) =>
      (await conditions(...changes))?.map(c => `${c.type}=${c.status}/${c.reason ?? ''}`).sort()
    assert.deepEqual(await seen(ready), ['Ready=True/KubeletReady'])
    assert.deepEqual(await seen({ type: 'SufficientIP', status: 'True' }), ['Ready=True/KubeletReady', 'SufficientIP=True/'])
    assert.deepEqual(await seen({ type: 'SufficientIP', status: 'False' }), ['Ready=True/KubeletReady', 'SufficientIP=False/'])
  })
}

function lists(kube: () => Kube): void {
  test('selectors: namespace, labels, fields', async () => {
    await kube().create(podEnis, podEni('sel-a', { 'k8s.aliyun.com/node': 'n1', kind: 'sel' }))
    await kube().create(podEnis, podEni('sel-b', { 'k8s.aliyun.com/node': 'n2', kind: 'sel' }))
    const names = async (s: { labelSelector?: string; fieldSelector?: string; namespace?: string }) =>
      (await kube().list(podEnis, s)).map(p => p.metadata.name)
    assert.deepEqual(await names({ labelSelector: 'k8s.aliyun.com/node=n1' }), ['sel-a'])
    assert.deepEqual(await names({ labelSelector: 'kind=sel,k8s.aliyun.com/node!=n1' }), ['sel-b'])
    assert.deepEqual(await names({ labelSelector: 'k8s.aliyun.com/node in (n1,n2),kind' }), ['sel-a', 'sel-b'])
    assert.deepEqual(await names({ labelSelector: 'kind=sel,!nothing', fieldSelector: 'metadata.name=sel-b' }), ['sel-b'])
    assert.deepEqual(await names({ labelSelector: 'kind=sel', namespace: 'kube-system' }), [])
  })

  test('a list of several pages is whole', async () => {
    const wanted = Array.from({ length: 620 }, (_, i) => `page-${String(i).padStart(3, '0')}`)
    for (let i = 0; i < wanted.length; i += 31)
      await Promise.all(wanted.slice(i, i + 31).map(n => kube().create(configMaps, configMap(n, { n }))))
    const listed = (await kube().list(configMaps, { namespace: 'default' })).map(c => c.metadata.name).filter(n => n.startsWith('page-'))
    assert.deepEqual(listed, wanted)
  })
}

function watches(world: () => World, kube: () => Kube): void {
  test('a watch shows the present set, then each change; leaving the selector is a deletion', async t => {
    const log = newLog()
    await kube().create(podEnis, podEni('w-a', { watched: 'yes' }))
    const watch = kube().watch(podEnis, { labelSelector: 'watched=yes' }, recorder<PodEni>(log))
    t.after(() => watch.stop())
    await watch.synced
    assert.deepEqual(log.lines, ['replaced w-a'])
    await kube().create(podEnis, podEni('w-b', { watched: 'yes' }))
    await kube().create(podEnis, podEni('w-c', { watched: 'no' }))
    await kube().patch(podEnis, 'w-b', { type: 'merge', body: { spec: { zone: 'b' } } }, 'default')
    await kube().patch(podEnis, 'w-a', { type: 'merge', body: { metadata: { labels: { watched: 'no' } } } }, 'default')
    await kube().patch(podEnis, 'w-c', { type: 'merge', body: { metadata: { labels: { watched: 'yes' } } } }, 'default')
    await kube().delete(podEnis, 'w-b', 'default')
    await until(() => log.lines.length >= 6)
    assert.deepEqual(log.lines.slice(1), ['applied w-b', 'applied w-b', 'deleted w-a', 'applied w-c', 'deleted w-b'])
    watch.stop()
    await kube().delete(podEnis, 'w-c', 'default')
    assert.equal(log.lines.length, 6)
  })

  test('a cut connection loses no event', async t => {
    const log = newLog()
    const watch = kube().watch(podEnis, { labelSelector: 'cut=yes' }, recorder<PodEni>(log))
    t.after(() => watch.stop())
    await watch.synced
    for (const i of [1, 2, 3]) {
      world().disconnect()
      await world().admin.create(podEnis, podEni(`cut-${i}`, { cut: 'yes' }))
      await until(() => log.lines.includes(`applied cut-${i}`))
    }
    assert.deepEqual(
      log.lines,
      ['replaced ', 'applied cut-1', 'applied cut-2', 'applied cut-3'].map(l => l.trim()),
    )
    assert.ok(log.errors.length >= 1, 'the loss is reported')
  })

  test('while the server is away requests are unavailable and the watch waits', async t => {
    const log = newLog()
    const watch = kube().watch(podEnis, { labelSelector: 'away=yes' }, recorder<PodEni>(log))
    t.after(() => watch.stop())
    await watch.synced
    const back = world().away()
    await assert.rejects(kube().get(podEnis, 'x', 'default'), { code: 'unavailable' })
    await assert.rejects(kube().create(podEnis, podEni('away', { away: 'yes' })), { code: 'unavailable' })
    back()
    await kube().create(podEnis, podEni('away', { away: 'yes' }))
    await until(() => log.lines.includes('applied away'))
    assert.deepEqual(log.lines, ['replaced', 'applied away'])
  })

  test('a watch whose version is too old (410) lists again and so learns of deletions it missed', async t => {
    const log = newLog()
    await kube().create(podEnis, podEni('old-a', { old: 'yes' }))
    const watch = kube().watch(podEnis, { labelSelector: 'old=yes' }, recorder<PodEni>(log))
    t.after(() => watch.stop())
    await watch.synced
    const back = world().away()
    await world().admin.delete(podEnis, 'old-a', 'default')
    await world().admin.create(podEnis, podEni('old-b', { old: 'yes' }))
    await world().expire()
    back()
    await until(() => log.lines.length === 2)
    assert.deepEqual(log.lines, ['replaced old-a', 'replaced old-b'])
    await kube().create(podEnis, podEni('old-c', { old: 'yes' }))
    await until(() => log.lines.includes('applied old-c'))
  })
}

function garbageObjects(kube: () => Kube): void {
  test('an object that cannot be read is reported with the path of the field, and the watch goes on', async t => {
    const garbage = {
      apiVersion: 'conformance.network.alibabacloud.com/v1',
      kind: 'Thing',
      metadata: { name: 'bad' },
      spec: { port: 'http' },
    }
    const good = (name: string) => ({ ...garbage, metadata: { name }, spec: { port: 80 } })
    await kube().create(anyThings, garbage)
    const log = newLog()
    const bad: string[] = []
    const watch = kube().watch(
      things,
      {},
      { ...recorder(log), unreadable: (name, _, e) => bad.push(`${name}: ${e instanceof Error ? e.message : e}`) },
    )
    t.after(() => watch.stop())
    await watch.synced
    assert.deepEqual(bad, ['bad: Thing bad: spec.port is "http", must be an integer'])
    await kube().create(things, good('good'))
    await kube().patch(anyThings, 'bad', { type: 'merge', body: { spec: { port: 'https' } } })
    await kube().create(things, good('better'))
    await until(() => log.lines.includes('applied better'))
    await kube().patch(anyThings, 'bad', { type: 'merge', body: { spec: { port: 443 } } })
    await until(() => log.lines.includes('applied bad'))
    assert.deepEqual([log.lines, bad.length], [['replaced', 'applied good', 'applied better', 'applied bad'], 2])
    await assert.rejects(
      async () => {
        await kube().patch(anyThings, 'bad', { type: 'merge', body: { spec: { port: 'again' } } })
        await kube().list(things)
      },
      { code: 'bad-object' },
    )
  })
}

function elections(world: () => World): void {
  test('of two candidates one leads; when it dies the other follows, and never both', async () => {
    // A busy API server may keep a leader waiting for seconds.
    const times = { leaseDuration: 15_000, renewDeadline: 10_000, retryPeriod: 300 }
    const leading = new Set<string>()
    const terms: string[] = []
    let most = 0
    const campaign = (name: string, stop: AbortSignal) =>
      new Election({ kube: world().client(), clock: realClock, namespace: 'kube-system', name: 'conformance', hostname: name, times }).run(
        async l => {
          leading.add(name)
          terms.push(name)
          most = Math.max(most, leading.size)
          await new Promise<void>(resolve => l.signal.addEventListener('abort', () => resolve(), { once: true }))
          leading.delete(name)
        },
        stop,
      )
    const [a, b] = [new AbortController(), new AbortController()]
    const first = campaign('a', a.signal)
    await until(() => terms.length === 1)
    const second = campaign('b', b.signal)
    const holder = async () => (await world().client().get(leases, 'conformance', 'kube-system'))?.spec?.holderIdentity ?? ''
    assert.match(await holder(), /^terway-ts_a_/)
    a.abort()
    assert.equal(await first, true)
    await until(() => terms.length === 2)
    assert.match(await holder(), /^terway-ts_b_/)
    const back = world().away()
    assert.equal(await second, false, 'cut off, the leader gives up by itself')
    back()
    assert.deepEqual([terms, most], [['a', 'b'], 1])
  })
}

function runtime(name: string): NodeRuntime {
  return { apiVersion, kind: 'NodeRuntime', metadata: { name }, spec: {} }
}
