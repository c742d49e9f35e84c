// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type EndpointSlice, endpointSlices } from '#kube/reflect/endpoint-slice.ts'
import { nodes } from '#kube/reflect/node.ts'
import { type Service, services } from '#kube/reflect/service.ts'
import { freePort } from '../support/free-port.ts'
import { PolicydWorld, policyNode } from '../support/policyd-world.ts'
import { until } from '../support/until.ts'

async function world(t: TestContext, seed?: number): Promise<PolicydWorld> {
  const w = new PolicydWorld(seed)
  t.after(() => w.stop())
  w.service('web', { clusterIP: '172.21.0.10', clusterIPs: ['172.21.0.10'] })
  w.endpoints('web', ['10.0.0.1', '10.0.0.2'])
  return w
}

const web = '172.21.0.10:80 inside'

/** The answer once there is one. */
async function ask(port: number, path = '/'): Promise<{ status: number; body: unknown }> {
  let answer: { status: number; body: unknown } | undefined
  await until(async () => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined)
    if (response !== undefined) answer = { status: response.status, body: await response.json() }
    return answer !== undefined
  })
  assert.ok(answer)
  return answer
}

test('Services go to the maps, and a change costs what it changes', async t => {
  const w = await world(t)
  const policyd = await w.start()
  assert.deepEqual(w.served(), { [web]: ['10.0.0.1:8080', '10.0.0.2:8080'] })
  assert.equal(policyd.status().synced, true)
  w.kernel.done.length = 0
  w.endpoints('web', ['10.0.0.1', '10.0.0.2', '10.0.0.3'])
  await w.clock.advance(20)
  assert.deepEqual(w.served()[web], ['10.0.0.1:8080', '10.0.0.2:8080', '10.0.0.3:8080'])
  assert.deepEqual(
    w.kernel.done.map(op => [op.op, 'map' in op && op.map]),
    [
      ['map-put', 'backends'],
      ['map-put', 'backend_slots'],
      ['map-put', 'backend_sets'],
    ],
  )
  w.model.remove(services, 'web', 'default')
  await w.clock.advance(20)
  assert.deepEqual(w.served(), {})
  assert.match(await w.metrics.registry.metrics(), /^terway_policy_sync_seconds_count 3$/m)
})

test('a restart changes nothing when nothing has changed', async t => {
  const w = await world(t)
  for (let n = 0; n < 20; n++) {
    w.service(`s${n}`, { clusterIP: `172.21.1.${n}`, clusterIPs: [`172.21.1.${n}`], sessionAffinity: n % 2 === 0 ? 'ClientIP' : 'None' })
    w.endpoints(
      `s${n}`,
      [1, 2, 3].map(i => `10.1.${n}.${i}`),
    )
  }
  await w.start()
  w.endpoints('s3', ['10.1.3.1', '10.1.3.9'])
  w.endpoints('s4', ['10.1.4.3'])
  await w.clock.advance(60_000)
  const before = w.served()
  await w.stop()
  w.kernel.done.length = 0
  await w.start()
  await w.clock.advance(1000)
  assert.deepEqual(w.kernel.done, [])
  assert.deepEqual(w.served(), before)
})

test('a backend that is gone drains in the maps, over a restart too, and then goes', async t => {
  const w = await world(t)
  const hour = 3_600_000
  w.options = { ...w.options, sync: { ...w.options.sync, lookInterval: hour, sweepInterval: 24 * hour } }
  await w.start()
  w.endpoints('web', ['10.0.0.2'])
  await w.clock.advance(20)
  assert.deepEqual([w.served()[web], w.kernel.entries('backends').size], [['10.0.0.2:8080'], 2])
  await w.stop()
  await w.start()
  assert.equal(w.kernel.entries('backends').size, 2)
  await w.clock.advance(25 * hour)
  assert.deepEqual([w.served()[web], w.kernel.entries('backends').size], [['10.0.0.2:8080'], 1])
})

test('killed at any moment, the next process leaves what a first one would', async t => {
  for (let after = 0; after < 16; after++) {
    const w = await world(t)
    await w.start()
    w.service('api', { clusterIP: '172.21.0.11', clusterIPs: ['172.21.0.11'] })
    w.endpoints('api', ['10.0.1.1'])
    w.endpoints('web', ['10.0.0.2', '10.0.0.3'])
    let left = after
    w.kernel.refuse = () => (left-- > 0 ? undefined : 'die')
    await w.clock.advance(15)
    await w.kill()
    w.kernel.refuse = () => undefined
    await w.start()
    assert.deepEqual(w.served(), { [web]: ['10.0.0.2:8080', '10.0.0.3:8080'], '172.21.0.11:80 inside': ['10.0.1.1:8080'] })
    await w.stop()
  }
})

test('the API server is away: the maps stay, also over a restart; what has changed meanwhile comes later', async t => {
  const w = await world(t)
  await w.start()
  w.model.faults.unavailable(true)
  w.endpoints('web', ['10.0.0.7'])
  await w.clock.advance(60_000)
  assert.deepEqual(w.served()[web], ['10.0.0.1:8080', '10.0.0.2:8080'])
  await w.stop()
  w.kernel.done.length = 0
  await w.start()
  await w.clock.advance(60_000)
  assert.deepEqual(w.kernel.done, [])
  w.model.faults.unavailable(false)
  await w.clock.advance(60_000)
  assert.deepEqual(w.served()[web], ['10.0.0.7:8080'])
})

test('one write in ten fails while Services come and go', async t => {
  const w = await world(t, 7)
  const { random } = w.clock
  w.kernel.refuse = () => (random() < 0.1 ? 'ENOMEM' : undefined)
  await w.start()
  const wanted = new Map<string, readonly string[]>()
  for (let step = 0; step < 100; step++) {
    const n = Math.floor(random() * 8)
    const backends = Array.from({ length: 1 + Math.floor(random() * 4) }, (_, i) => `10.2.${n}.${i + 1}`)
    w.service(`s${n}`, { clusterIP: `172.21.2.${n}`, clusterIPs: [`172.21.2.${n}`] })
    w.endpoints(`s${n}`, backends)
    wanted.set(
      `172.21.2.${n}:80 inside`,
      backends.map(b => `${b}:8080`),
    )
    await w.clock.advance(30)
  }
  await w.clock.advance(120_000)
  assert.deepEqual(w.served(), { [web]: ['10.0.0.1:8080', '10.0.0.2:8080'], ...Object.fromEntries(wanted) })
  assert.equal(w.policyd?.status().lastError, undefined)
  assert.match(await w.metrics.registry.metrics(), /^terway_policy_map_errors_total\{map="[a-z_]+",errno="ENOMEM"\} [1-9]/m)
})

test('watches that break, versions that are too old and restarts while Services come and go: nothing is missed, nothing stays', async t => {
  for (const seed of [3, 11]) {
    const w = await world(t, seed)
    const { random } = w.clock
    const { faults } = w.model
    const some = (most: number) => Math.floor(random() * most)
    await w.start()
    const wanted = new Map<number, readonly string[]>()
    const steps: readonly (() => void | Promise<void>)[] = [
      () => faults.disconnect(),
      () => faults.compact(),
      () => w.kill().then(() => void w.start()),
      () => w.stop().then(() => void w.start()),
      () => {
        for (const n of wanted.keys()) if (random() < 0.3 && wanted.delete(n)) w.model.remove(services, `s${n}`, 'default')
      },
    ]
    for (let step = 0; step < 150; step++) {
      const n = some(6)
      const backends = Array.from({ length: some(5) }, (_, i) => `10.2.${n}.${i + 1 + some(3) * 10}`)
      w.service(`s${n}`, { clusterIP: `172.21.2.${n}`, clusterIPs: [`172.21.2.${n}`] })
      w.endpoints(`s${n}`, backends)
      wanted.set(n, backends.map(b => `${b}:8080`).toSorted())
      if (random() < 0.3) await steps[some(steps.length)]?.()
      await w.clock.advance(some(60))
    }
    await w.clock.advance(120_000)
    const served = [...wanted].map(([n, backends]) => [`172.21.2.${n}:80 inside`, backends])
    assert.deepEqual(w.served(), { [web]: ['10.0.0.1:8080', '10.0.0.2:8080'], ...Object.fromEntries(served) })
    await w.stop()
  }
})

test('a map that is full is said, and heals when there is room', async t => {
  const w = await world(t)
  w.kernel.limits.services = 1
  const policyd = await w.start()
  w.service('api', { clusterIP: '172.21.0.11', clusterIPs: ['172.21.0.11'] })
  await w.clock.advance(2000)
  assert.deepEqual(Object.keys(w.served()), [web])
  assert.match(policyd.status().lastError ?? '', /E2BIG/)
  w.model.remove(services, 'web', 'default')
  await w.clock.advance(40_000)
  assert.deepEqual(Object.keys(w.served()), ['172.21.0.11:80 inside'])
  assert.equal(policyd.status().lastError, undefined)
})

test('terwayd makes the maps late, and again', async t => {
  const w = await world(t)
  w.kernel.unpin()
  const policyd = await w.start()
  await w.clock.advance(5000)
  assert.deepEqual([policyd.status().pinned, policyd.status().synced], [false, false])
  for (let round = 0; round < 2; round++) {
    w.kernel.pin()
    await w.clock.advance(2500)
    assert.deepEqual(w.served()[web], ['10.0.0.1:8080', '10.0.0.2:8080'])
    assert.equal(policyd.status().synced, true)
  }
})

test('a corrupted entry is found and repaired', async t => {
  const w = await world(t)
  await w.start()
  const [key = '', value = ''] = [...w.kernel.entries('backends')][0] ?? []
  w.kernel.entries('backends').set(key, value.replace(/^.{24}..../, '00000000000000000000ffff0101'))
  await w.clock.advance(70_000)
  assert.equal(w.kernel.entries('backends').get(key), value)
  assert.match(await w.metrics.registry.metrics(), /^terway_policy_repairs_total\{map="backends",damage="changed"\} 1$/m)
})

test("a load balancer's question about a Service is answered on the node's address, and no more when it is gone", async t => {
  const w = await world(t)
  const port = await freePort()
  const balanced = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: port }
  const spec = { ...balanced, clusterIP: '172.21.0.12', clusterIPs: ['172.21.0.12'] }
  w.service('lb', spec)
  w.endpoints('lb', ['10.0.3.1'])
  await w.start()
  const body = (localEndpoints: number) => ({ service: { namespace: 'default', name: 'lb' }, localEndpoints, serviceProxyHealthy: true })
  assert.deepEqual(await ask(port), { status: 503, body: body(0) })
  w.endpoints('lb', ['10.0.3.1', '10.0.3.2'], ['10.0.3.2'])
  await w.clock.advance(20)
  assert.deepEqual(await ask(port), { status: 200, body: body(1) })
  w.model.remove(services, 'lb', 'default')
  await w.clock.advance(20)
  await until(() =>
    fetch(`http://127.0.0.1:${port}/`).then(
      () => false,
      () => true,
    ),
  )
})

test('a port of health checks that is taken is told, and taken over when it is free', async t => {
  const w = await world(t)
  const port = await freePort()
  const taken = createServer()
  await new Promise<void>(done => taken.listen(port, '127.0.0.1', done))
  const balanced = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: port }
  w.service('lb', { ...balanced, clusterIP: '172.21.0.12', clusterIPs: ['172.21.0.12'] })
  await w.start()
  await until(() => w.model.events.some(e => e.reason === 'FailedToStartServiceHealthcheck'))
  await new Promise(done => taken.close(done))
  await w.clock.advance(10_000)
  assert.equal((await ask(port)).status, 503)
})

test('beside kube-proxy nobody is told that it answers health checks, and its ports are taken over when it goes', async t => {
  const w = await world(t)
  const port = await freePort()
  const kubeProxy = createServer()
  await new Promise<void>(done => kubeProxy.listen(port, '127.0.0.1', done))
  const balanced = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: port }
  w.service('lb', { ...balanced, clusterIP: '172.21.0.12', clusterIPs: ['172.21.0.12'] })
  w.options = { ...w.options, besideKubeProxy: true }
  await w.start()
  await new Promise(done => kubeProxy.close(done))
  await until(async () => {
    await w.clock.advance(10_000)
    return ask(port).then(
      answer => answer.status === 503,
      () => false,
    )
  })
  assert.deepEqual(w.model.events, [])
})

test("kube-proxy's health says when the node is on its way out", async t => {
  const w = await world(t)
  const port = await freePort()
  w.options = { ...w.options, proxyHealth: `127.0.0.1:${port}` }
  await w.start()
  assert.deepEqual([(await ask(port, '/healthz')).status, (await ask(port, '/livez')).status], [200, 200])
  w.node({ spec: { taints: [{ key: 'ToBeDeletedByClusterAutoscaler' }] } })
  await w.clock.advance(20)
  assert.deepEqual([(await ask(port, '/healthz')).status, (await ask(port, '/livez')).status], [503, 200])
  w.node()
  await w.clock.advance(20)
  assert.equal((await ask(port, '/healthz')).status, 200)
  w.kernel.refuse = () => 'EPERM'
  w.endpoints('web', ['10.0.0.9'])
  await w.clock.advance(90_000)
  assert.deepEqual([(await ask(port, '/healthz')).status, (await ask(port, '/livez')).status], [503, 503])
})

test('NodePorts follow the addresses of the node, and stay when its object goes', async t => {
  const w = await world(t)
  const ports = [{ name: '', protocol: 'TCP', port: 80, nodePort: 30080 }]
  w.service('web', { type: 'NodePort', clusterIP: '172.21.0.10', clusterIPs: ['172.21.0.10'], ports })
  await w.start()
  const nodePorts = () => Object.keys(w.served()).filter(k => k.includes(':30080'))
  assert.deepEqual(nodePorts().toSorted(), ['127.0.0.1:30080 inside', '127.0.0.1:30080 outside'])
  w.node({ addresses: ['127.0.0.2'] })
  await w.clock.advance(20)
  assert.deepEqual(nodePorts().toSorted(), ['127.0.0.2:30080 inside', '127.0.0.2:30080 outside'])
  w.model.remove(nodes, policyNode)
  await w.clock.advance(20)
  assert.equal(nodePorts().length, 2)
})

test('what cannot be done for a Service is told to its owner', async t => {
  const w = await world(t)
  w.service('sctp', {
    clusterIP: '172.21.0.13',
    clusterIPs: ['172.21.0.13'],
    ports: [{ name: '', protocol: 'SCTP', port: 80 }],
  })
  const slice = w.endpoints('sctp', ['10.0.4.1'])
  w.model.put(endpointSlices, { ...slice, ports: [{ name: '', protocol: 'SCTP', port: 8080 }] })
  await w.start()
  const told = w.model.events.map(e => [e.about.kind, e.about.name, e.type, e.reason])
  assert.deepEqual(told, [['Service', 'sctp', 'Warning', 'ServicePortUnsupported']])
})

test('what no port and no time can be is left out, and everything else goes on', async t => {
  const w = await world(t)
  await w.start()
  const odd = { clusterIP: '172.21.0.14', clusterIPs: ['172.21.0.14'] }
  const affinity = { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: -1 } } }
  w.service('odd', {
    ...odd,
    ...affinity,
    ports: [
      { name: '', protocol: 'TCP', port: 70_000 },
      { name: 'b', protocol: 'TCP', port: 80 },
    ],
  })
  const slice = w.endpoints('odd', ['10.0.5.1'])
  w.model.put(endpointSlices, { ...slice, ports: [{ name: 'b', protocol: 'TCP', port: 70_000 }] })
  w.endpoints('web', ['10.0.0.9'])
  await w.clock.advance(20)
  assert.deepEqual(w.served(), { [web]: ['10.0.0.9:8080'], '172.21.0.14:80 inside': [] })
})

test('what cannot be read stays as it was, in an event and in a list, and is told', async t => {
  const w = await world(t)
  w.service('other', { clusterIP: '172.21.0.11', clusterIPs: ['172.21.0.11'] })
  w.endpoints('other', ['10.0.0.9'])
  const policyd = await w.start()
  const before = w.served()[web]
  const garbled = { ...services, parse: (raw: unknown) => raw as Service }
  const garbledSlices = { ...endpointSlices, parse: (raw: unknown) => raw as EndpointSlice }
  const meta = { name: 'web', namespace: 'default' }
  const labels = { 'kubernetes.io/service-name': 'web' }
  w.model.put(garbled, { metadata: meta, spec: { clusterIP: '172.21.0.99', ports: [{ port: 'http' }] } } as never)
  w.model.put(garbledSlices, { metadata: { ...meta, name: 'web-1', labels }, addressType: 'IPv4', endpoints: [{ addresses: 7 }] } as never)
  await w.clock.advance(1000)
  assert.deepEqual(w.served()[web], before)
  assert.deepEqual(
    policyd.unreadable().map(u => `${u.apiVersion} ${u.kind} ${u.namespace}/${u.name}`),
    ['v1 Service default/web', 'discovery.k8s.io/v1 EndpointSlice default/web-1'],
  )
  assert.match(policyd.notes().join(), /Service default\/web cannot be read.*spec\.ports\[0\]\.port is "http"/)
  const relist = async () => {
    w.model.faults.disconnect()
    w.model.faults.compact()
    await w.clock.advance(10_000)
  }
  w.model.remove(services, 'other', 'default')
  await relist()
  assert.deepEqual(w.served(), { [web]: before })
  const told = w.model.events.filter(e => e.reason === 'UnreadableObject').map(e => `${e.about.kind} ${e.about.namespace}/${e.about.name}`)
  assert.deepEqual(told, ['Service default/web', 'EndpointSlice default/web-1'], 'each once')
  w.endpoints('web', ['10.0.0.5'])
  await w.clock.advance(1000)
  assert.deepEqual([w.served()[web], policyd.unreadable().length], [['10.0.0.5:8080'], 1])
  w.model.remove(garbled, 'web', 'default')
  await relist()
  assert.deepEqual([w.served(), policyd.unreadable()], [{}, []])
})
