// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { copyFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Type } from 'typebox'
import { KubeClient } from '#kube/client.ts'
import { type KubeConfig, loadConfig } from '#kube/config.ts'
import { crdOf, crdVersionAnnotation } from '#kube/crd/definition.ts'
import { definitions } from '#kube/crd/definitions.ts'
import { type NodeCr, nodeCrs } from '#kube/crd/node.ts'
import { coreEvents, newEvents } from '#kube/events.ts'
import { crds, installCrds } from '#kube/install-crds.ts'
import type { KubeObject, Resource } from '#kube/port.ts'
import { configMaps } from '#kube/reflect/config-map.ts'
import { pods } from '#kube/reflect/pod.ts'
import { resource } from '#kube/resource.ts'
import { realClock } from '#lib/clock.ts'
import { issue, writeKubeconfig } from '../../lab/pki.ts'
import { ApiServer, tokens } from '../support/apiserver.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

/** What only a real server can show: credentials, addresses, authorisation, CRD installation, restarts. */
describe('KubeClient against a real kube-apiserver', () => {
  let api: ApiServer
  let admin: KubeClient
  const clients: KubeClient[] = []
  const connect = (config: KubeConfig) => {
    const client = new KubeClient({ config, clock: realClock, reporter: { controller: 'terway-test', instance: 'node-1' } })
    clients.push(client)
    return client
  }
  before(async () => {
    api = await ApiServer.start()
    admin = connect(api.config('admin'))
  })
  after(async () => {
    await Promise.all(clients.map(c => c.close()))
    await api?.stop()
  })

  const raw = (group: string, plural: string, kind: string): Resource<KubeObject> =>
    resource({ group, version: 'v1', plural, kind, namespaced: false, unknown: 'keep', body: Type.Object({}) })
  const grant = async (name: string, rules: readonly unknown[]) => {
    const rbac = 'rbac.authorization.k8s.io'
    const role = { apiVersion: `${rbac}/v1`, kind: 'ClusterRole', metadata: { name }, rules }
    const roleRef = { apiGroup: rbac, kind: 'ClusterRole', name }
    const binding = {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name },
      roleRef,
      subjects: [{ apiGroup: rbac, kind: 'User', name: 'nobody' }],
    }
    await admin.create(raw(rbac, 'clusterroles', 'ClusterRole'), role)
    await admin.create(raw(rbac, 'clusterrolebindings', 'ClusterRoleBinding'), binding)
  }

  test('CRDs are installed once, kept when as new, replaced when older', async () => {
    const first = await installCrds(admin, realClock, definitions)
    assert.deepEqual(new Set(first.values()), new Set(['created']))
    assert.deepEqual(new Set((await installCrds(admin, realClock, definitions)).values()), new Set(['kept']))
    const name = 'nodes.network.alibabacloud.com'
    await admin.patch(crds, name, {
      type: 'merge',
      body: { metadata: { annotations: { [crdVersionAnnotation]: 'v0.10.0', 'example.com/x': 'y' } } },
    })
    assert.equal((await installCrds(admin, realClock, definitions)).get(name), 'updated')
    const annotations = (await admin.get(crds, name))?.metadata.annotations
    assert.deepEqual([annotations?.[crdVersionAnnotation], annotations?.['example.com/x']], ['v0.11.0', 'y'])
  })

  test('the server finds no fault in the schemas, and they let pass what they should and no more', async () => {
    for (const d of definitions) {
      const conditions = (await admin.get(crds, crdOf(d).metadata.name))?.status?.conditions ?? []
      assert.equal(
        conditions.find(c => c.type === 'NonStructuralSchema'),
        undefined,
      )
    }
    const node: NodeCr = {
      apiVersion: 'network.alibabacloud.com/v1beta1',
      kind: 'Node',
      metadata: { name: 'schema' },
      spec: { eni: { vSwitchOptions: ['v'], securityGroupIDs: ['s'], vSwitchSelectPolicy: 'most' } },
    }
    const created = await admin.create(nodeCrs, node)
    const nic = {
      id: 'eni-1',
      status: 'InUse',
      ipv4: { '10.0.0.1': { ip: '10.0.0.1', primary: false, status: 'Deleting', releaseNonce: 'n' } },
    } as const
    const intents = {
      t: { token: 't', kind: 'assign-ips', vSwitchID: 'v', ipv4Count: 1, ipv6Count: 0, since: '2026-05-01T11:00:00Z' },
    } as const
    const status = { networkInterfaces: { 'eni-1': nic }, intents }
    assert.deepEqual((await admin.replace(nodeCrs, { ...created, status }, 'status')).status, status)
    const bad = { networkInterfaces: { 'eni-1': { ipv4: { '10.0.0.1': { status: 'Stale' } } } } }
    await assert.rejects(admin.patch(nodeCrs, 'schema', { type: 'merge', body: { status: bad }, subresource: 'status' }), {
      code: 'invalid',
      message: /status.networkInterfaces.eni-1.ipv4.10.0.0.1.status: Unsupported value: "Stale"/,
    })
    const unknown = await admin.patch(nodeCrs, 'schema', { type: 'merge', body: { spec: { nonsense: 1 } } })
    assert.deepEqual(unknown.spec, node.spec, 'unknown fields are pruned by the server')
  })

  test('a kind that is not served is an error, not an absent object', async () => {
    const [noKind, noGroup] = [raw('network.alibabacloud.com', 'nothings', 'Nothing'), raw('nothing.example.com', 'nothings', 'Nothing')]
    for (const r of [noKind, noGroup]) {
      await assert.rejects(admin.get(r, 'x'), { code: 'not-found' })
      await assert.rejects(admin.delete(r, 'x'), { code: 'not-found' })
      await assert.rejects(admin.list(r), { code: 'not-found' })
    }
  })

  test('a token is read again after a 401, and requests go on', async () => {
    const config = api.config('rotated', 'expired-token')
    const client = connect(config)
    await assert.rejects(client.get(configMaps, 'x', 'default'), { code: 'unauthorized' })
    writeFileSync(config.token.file, tokens.admin)
    assert.equal(await client.get(configMaps, 'x', 'default'), undefined)
    rmSync(config.token.file)
    const gone = connect(config)
    await assert.rejects(gone.get(configMaps, 'x', 'default'), { code: 'unauthorized', message: /rotated\.token cannot be read/ })
  })

  test('rotated files are read again after a while, without a 401', async () => {
    let skipped = 0
    const clock = { ...realClock, now: () => realClock.now() + skipped }
    const reporter = { controller: 'terway-test', instance: 'node-1' }
    await issue(api.pki, { name: 'somebody', subject: '/CN=somebody', alternative: [] })
    const file = (name: string) => join(api.pki.dir, name)
    for (const kind of ['crt', 'key']) copyFileSync(file(`somebody.${kind}`), file(`current.${kind}`))
    const { token: _, ...config } = { ...api.config('cert'), cert: { file: file('current.crt') }, key: { file: file('current.key') } }
    const byToken = api.config('aging', tokens.nobody)
    const [withCert, withToken] = [new KubeClient({ config, clock, reporter }), new KubeClient({ config: byToken, clock, reporter })]
    clients.push(withCert, withToken)
    await assert.rejects(withCert.list(pods), { code: 'forbidden', message: /"somebody"/ })
    await assert.rejects(withToken.list(pods), { code: 'forbidden', message: /"nobody"/ })
    for (const kind of ['crt', 'key']) copyFileSync(file(`admin.${kind}`), file(`current.${kind}`))
    writeFileSync(byToken.token.file, tokens.admin)
    await assert.rejects(withToken.list(pods), { code: 'forbidden' })
    skipped = 11_000
    await withCert.list(pods)
    await withToken.list(pods)
  })

  test('a watch begins once its token is valid', async t => {
    const config = api.config('late', 'not-yet')
    const client = connect(config)
    const errors: unknown[] = []
    const nothing = () => undefined
    const watch = client.watch(configMaps, {}, { replaced: nothing, applied: nothing, deleted: nothing, interrupted: e => errors.push(e) })
    t.after(() => watch.stop())
    await until(() => errors.length > 0)
    writeFileSync(config.token.file, tokens.admin)
    await watch.synced
  })

  test('secrets stay out of errors', async () => {
    const client = connect(api.config('leak', 'very-secret-token'))
    const e: unknown = await client.list(pods).catch(e => e)
    assert.ok(e instanceof Error)
    assert.doesNotMatch(`${e.stack} ${JSON.stringify(e)} ${JSON.stringify(e.cause)}`, /very-secret-token/)
  })

  test('a kubeconfig with a client certificate; a certificate of another CA is refused', async () => {
    const server = `https://127.0.0.1:${api.port}`
    const path = writeKubeconfig(api.pki, 'admin', server)
    const client = connect(await loadConfig({ env: { KUBECONFIG: path } }))
    assert.ok((await client.list(crds)).length >= definitions.length)
    const stranger = connect({ ...api.config('stranger'), ca: [] })
    await assert.rejects(stranger.list(crds), { code: 'unavailable', message: /certificate/ })
  })

  test('without rights: forbidden, and events fall back to the core group', async () => {
    const client = connect(api.config('nobody', tokens.nobody))
    await assert.rejects(client.list(pods), { code: 'forbidden', message: /GET \/api\/v1\/pods: 403 Forbidden: .*"nobody"/ })
    await grant('core-events', [{ apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] }])
    const about = { apiVersion: 'v1', kind: 'Pod', name: 'web-0', namespace: 'default', uid: 'p1' }
    const e = { about, type: 'Normal', reason: 'AllocIPSucceed', message: 'Alloc IP 10.0.0.1/24 took 12ms', action: 'AllocIP' } as const
    const seen = async (r: typeof coreEvents) => (await admin.list(r, { namespace: 'default' })).filter(o => o.reason === 'AllocIPSucceed')
    // Role bindings reach the authorizer by its watch: the first event may still be refused, which costs that event only.
    await until(async () => {
      client.event({ ...e, message: `${e.message}.${realClock.uuid()}` })
      return (await seen(coreEvents)).length > 0
    })
    const [event] = await seen(coreEvents)
    assert.deepEqual([event?.type, event?.source], ['Normal', { component: 'terway-test', host: 'node-1' }])
    assert.deepEqual(event?.involvedObject, about)
  })

  test('an identical event is not sent twice in a minute', async () => {
    const about = { apiVersion: 'v1', kind: 'Node', name: 'node-1' }
    const e = { about, type: 'Warning', reason: 'ConfigError', message: 'm', action: 'Config' } as const
    for (let i = 0; i < 5; i++) admin.event(e)
    admin.event({ ...e, message: 'other' })
    const seen = async () => (await admin.list(newEvents, { namespace: 'default' })).filter(o => o.reason === 'ConfigError')
    await until(async () => (await seen()).some(o => o.note === 'other'))
    const [one, ...rest] = (await seen()).filter(o => o.note === 'm')
    assert.deepEqual(rest, [])
    assert.deepEqual([one?.reportingController, one?.action, one?.regarding], ['terway-test', 'Config', about])
  })

  test('the next server is tried when one cannot be connected', async t => {
    const dead = await TcpProxy.start(api.port)
    await dead.stop()
    const proxy = await TcpProxy.start(api.port)
    t.after(() => proxy.stop())
    const config = api.config('failover')
    const client = connect({ ...config, servers: [`https://127.0.0.1:${dead.port}`, `https://127.0.0.1:${proxy.port}`] })
    const created = await client.create(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'failover', namespace: 'default' },
    })
    assert.equal(created.metadata.name, 'failover')
    for (let i = 0; i < 10; i++) await client.get(configMaps, 'failover', 'default')
    assert.ok(proxy.opened <= 2, `connections are kept, ${proxy.opened} were made`)
  })

  test('a GET survives a kept connection that has died', async t => {
    const proxy = await TcpProxy.start(api.port)
    t.after(() => proxy.stop())
    const client = connect(api.config('stale', tokens.admin, proxy.port))
    for (let i = 0; i < 5; i++) {
      await client.get(configMaps, 'x', 'default')
      proxy.cut()
    }
    assert.ok(proxy.opened >= 5)
  })

  test('the server sends bookmarks, and a pod comes trimmed', async t => {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', namespace: 'default' },
      spec: { containers: [{ name: 'c', image: 'i', resources: { limits: { 'aliyun/eni': '1', cpu: '1' } } }] },
    }
    await admin.create(pods, pod)
    const [listed] = await admin.list(pods, { fieldSelector: 'metadata.name=p' })
    assert.deepEqual(listed?.spec.containers, [{ name: 'c', resources: { limits: { 'aliyun/eni': '1' } } }])
    const { resourceVersion } = await admin.listPages(pods, {}, () => undefined)
    const abort = new AbortController()
    t.after(() => abort.abort())
    const from = { resourceVersion, timeoutSeconds: 15 }
    const { body } = await admin.openWatch(pods, { labelSelector: 'matches=nothing' }, from, abort.signal)
    await admin.patch(pods, 'p', { type: 'merge', body: { metadata: { labels: { a: 'b' } } } }, 'default')
    let text = ''
    for await (const chunk of body) text += Buffer.from(chunk).toString('utf8')
    const { type, object } = JSON.parse(text.trim().split('\n').at(-1) ?? '')
    assert.equal(type, 'BOOKMARK')
    assert.ok(Number(object.metadata.resourceVersion) > Number(resourceVersion))
  })

  test('a server restart under an open watch costs nothing but time', async t => {
    const names: string[] = []
    const note = (c: KubeObject) => names.push(c.metadata.name)
    const watch = admin.watch(
      configMaps,
      { labelSelector: 'restart=yes' },
      { replaced: items => items.forEach(note), applied: note, deleted: () => undefined },
    )
    t.after(() => watch.stop())
    await watch.synced
    await api.restart()
    await admin.create(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'after', namespace: 'default', labels: { restart: 'yes' } },
    })
    await until(() => names.includes('after'))
  })
})
