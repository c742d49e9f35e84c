// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Options } from '#daemon/deps.ts'
import { metricsObserver } from '#daemon/expose/observer.ts'
import { expose } from '#daemon/expose/serve.ts'
import { pods } from '#kube/reflect/pod.ts'
import { realClock } from '#lib/clock.ts'
import { AppError } from '#lib/errors.ts'
import { silent } from '#lib/log.ts'
import { daemonMetrics } from '#lib/metrics.ts'
import { connect } from '#rpc/grpc/client.ts'
import { getOverSocket } from '#rpc/http/get.ts'
import { DaemonWorld, hasty } from '../../../test/support/daemon-world.ts'
import { until } from '../../../test/support/until.ts'

/** A daemon with everything that it shows, reached as others reach it. */
async function exposed(t: TestContext, addresses: readonly string[], unavailable = false, options: Partial<Options> = {}) {
  const world = new DaemonWorld(addresses, options)
  const metrics = daemonMetrics()
  world.observer = metricsObserver(metrics)
  world.model.faults.unavailable(unavailable)
  const daemon = await world.start()
  if (!unavailable) await daemon.ready
  const at = (name: string) => join(world.dir, name)
  const server = await expose(
    { state: daemon.state, leases: daemon.leases, metrics, clock: realClock, log: silent, config: {}, cutSockets: async () => 0 },
    { grpcSocket: at('eni.socket'), debug: `unix://${at('debug.socket')}`, probes: `unix://${at('probes.socket')}` },
  )
  const client = connect(at('eni.socket'))
  t.after(async () => {
    client.close()
    await server.close()
    await world[Symbol.asyncDispose]()
  })
  const get = (path: string, socket = 'probes.socket') => getOverSocket(at(socket), path)
  const why = (pod: string) => Array.fromAsync(client.execute({ Type: 'network_service', Name: 'default', Command: 'why', Args: [pod] }))
  return { world, daemon, client, get, why }
}

const pod = (name: string) => ({ K8sPodName: name, K8sPodNamespace: 'default', K8sPodInfraContainerId: `c-${name}` })
const wanted = (name: string) => ({ ...pod(name), Netns: `/run/netns/c-${name}`, IfName: 'eth0' })

test('a plugin leases and gives back over gRPC, in the same book as CNI', async t => {
  const { world, daemon, client } = await exposed(t, ['10.0.0.1', '10.0.0.2'])
  world.cluster.pod('web')
  const granted = await client.alloc(wanted('web'))
  assert.equal(granted.NetConfs[0]?.BasicInfo.PodIP.IPv4, '10.0.0.1')
  assert.equal(granted.NetConfs[0]?.BasicInfo.GatewayIP.IPv4, '10.0.0.253')
  assert.deepEqual(
    daemon.state.leases().map(l => [l.containerId, l.state, l.owner]),
    [['c-web', 'held', 'grpc']],
  )
  assert.equal(world.kernel.links.size, 0, 'the plugin does the work in the kernel')
  assert.equal((await client.info(pod('web'))).NetConfs[0]?.BasicInfo.PodIP.IPv4, '10.0.0.1')
  assert.deepEqual((await client.info(pod('other'))).NetConfs, [])

  assert.equal((await client.release({ ...pod('web'), K8sPodInfraContainerId: 'older' })).Success, true)
  assert.equal(daemon.state.leases().length, 1, 'a release of another sandbox frees nothing')
  await client.release(pod('web'))
  await until(() => daemon.state.leases().length === 0)
})

test('what a plugin is told when it gets nothing: a code that it knows', async t => {
  const { world, client } = await exposed(t, ['10.0.0.1'], false, hasty)
  await assert.rejects(client.alloc(wanted('absent')), {
    message: /^code: IPNotAllocated, msg: pod default\/absent is not in the API server/,
  })
  world.cluster.pod('hosted', { spec: { hostNetwork: true } })
  await assert.rejects(client.alloc(wanted('hosted')), { message: /^code: InvalidArgs, msg: pod default\/hosted uses the host's network/ })
  world.cluster.pod('web')
  world.ledger.fault = () => {
    throw new AppError('ledger-full', 'ledger /x cannot grow')
  }
  await assert.rejects(client.alloc(wanted('web')), { message: 'code: InternalError, msg: ledger /x cannot grow' })
})

test('an event that a plugin records reaches the cluster', async t => {
  const { world, client } = await exposed(t, [])
  const event = { EventTarget: 1, K8sPodName: 'web', K8sPodNamespace: 'default', EventType: 1, Reason: 'AllocIPFailed', Message: 'why' }
  assert.equal((await client.event(event)).Succeed, true)
  assert.deepEqual(
    world.model.events.filter(e => e.about.kind === 'Pod').map(e => [e.about.kind, e.about.name, e.type, e.reason, e.message]),
    [['Pod', 'web', 'Warning', 'AllocIPFailed', 'why']],
  )
})

test('why: leased, finished and refused pods', async t => {
  const { world, why } = await exposed(t, ['10.0.0.1'])
  world.cluster.pod('web')
  world.cluster.pod('hosted', { spec: { hostNetwork: true } })
  await world.add('web')
  assert.match((await why('default/web')).join('\n'), /^default\/web: leased\ncontainer c-web has 10\.0\.0\.1 of ENI eni-1: held since/)
  assert.ok((await why('default/hosted')).some(line => line === "pod default/hosted uses the host's network"))
  await world.del('c-web')
  const { status: _, ...job } = world.cluster.pod('job')
  world.model.put(pods, { ...job, status: { phase: 'Succeeded' } })
  await until(async () => (await why('default/job')).includes('pod default/job has finished (Succeeded)'))
  assert.equal((await why('default/job'))[0], 'default/job: unknown')
})

test('probes: alive from the start, ready when pods are served', async t => {
  const { world, daemon, get } = await exposed(t, ['10.0.0.1'], true)
  assert.deepEqual(await get('/healthz'), { status: 200, body: 'ok\n' })
  const early = await get('/readyz')
  assert.equal(early.status, 503)
  assert.match(early.body, /API server/)
  world.model.faults.unavailable(false)
  await daemon.ready
  assert.deepEqual(await get('/readyz'), { status: 200, body: 'ok\n' })
})

test('metrics after a real ADD: each of its phases, the answer, and the pool', async t => {
  const { world, get } = await exposed(t, ['10.0.0.1', '10.0.0.2'])
  world.cluster.pod('web')
  await world.add('web')
  for (const socket of ['probes.socket', 'debug.socket']) {
    const { body } = await get('/metrics', socket)
    for (const phase of ['parse', 'pod', 'lease', 'ledger', 'kernel', 'total'])
      assert.ok(body.includes(`terway_cni_add_phase_seconds_count{phase="${phase}"} 1\n`), phase)
    for (const line of [
      'terway_cni_requests_total{verb="ADD",code="0"} 1',
      'terway_resource_pool_idle_count{type="local",ipStack="ipv4"} 1',
      'terway_resource_pool_allocated_count{type="local"} 1',
      'terway_eniip_factory_ip_alloc_count{eni="eni-1",status="success"} 1',
    ])
      assert.ok(body.includes(`${line}\n`), line)
  }
})

test('the daemon tells each pod what came of its ADD', async t => {
  const { world } = await exposed(t, ['10.0.0.1'], false, hasty)
  const told = () => world.model.events.filter(e => e.about.kind === 'Pod').map(e => [e.about.name, e.type, e.reason])
  world.cluster.pod('web')
  await world.add('web')
  await until(() => told().length === 1)
  assert.match(world.model.events.find(e => e.reason === 'AllocIPSucceed')?.message ?? '', /^Alloc IP 10\.0\.0\.1 took \d+ms$/)
  world.cluster.pod('late')
  await world.add('late')
  await until(() => told().length === 2)
  assert.deepEqual(told(), [
    ['web', 'Normal', 'AllocIPSucceed'],
    ['late', 'Warning', 'AllocIPFailed'],
  ])
  assert.match(world.model.events.find(e => e.reason === 'AllocIPFailed')?.message ?? '', /no address for pod default\/late/)
})
