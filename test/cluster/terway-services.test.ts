// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { get } from '../../lab/get.ts'
import { answers } from '../../lab/http.ts'
import { Lab } from '../../lab/lab.ts'
import { isReady, type Pod } from '../../lab/pods.ts'
import { until } from '../../lab/process.ts'
import { installTerway, readyPods } from '../../lab/terway.ts'
import { nodeVSwitches, seed } from '../../lab/vpc.ts'
import { INTERNET } from '../../sim/fabric/base.ts'
import { root } from '../../tools/components.ts'
import { closeOldAddress, moveApiServer, moveKubelets, openOldAddress } from './api-moves.ts'
import { type BeatWish, beatPort, beatServer, Heartbeat, noneBreaks } from './heartbeat.ts'
import { type Node, type Source, sources } from './matrix.ts'
import { datapath, Matrix, requireComplete } from './matrix-judge.ts'
import { balancedService, chainPortmap, openSeed, startParties } from './matrix-lab.ts'
import type { Parties } from './matrix-run.ts'
import { rows, without } from './matrix-services.ts'
import {
  affinityTimesOut,
  backendsByMaglev,
  leftToAnotherProxy,
  nearEndpoints,
  notReadyAddresses,
  refusedWithoutEndpoints,
} from './services-cases.ts'
import { becomes, doorOf, makeService, serviceManifest, type Told, targetsAt, tellsAll } from './services-lab.ts'
import { killProgram, lines } from './terway-kernel.ts'
import { endLabAfterTests } from './terway-lab.ts'
import { deletePods, leaseOf, startPod } from './terway-pods.ts'

/*
 * Services without kube-proxy, in a cluster of both families: node1 and node2 forward by programs, node3 by its host stack, and the programs of all
 * three translate. Who reaches which Service from where, what living connections notice, and what a node does after a boot.
 */
const name = `terway-services-${process.pid}`
const nodes = ['node1', 'node2', 'node3'] as const
const from = Object.keys(sources) as Source[]
const internet = (family: 4 | 6) => (family === 4 ? INTERNET.host4 : INTERNET.host6)
let lab: Lab
let parties: Parties

before(async () => {
  lab = await Lab.up({
    ...{ name, nodes: 3, stack: 'dual', proxy: 'off', seed: openSeed, instanceType: 'ecs.lab.medium', vSwitchIds: nodeVSwitches },
  })
  await Promise.all(nodes.map(node => labelled(node, node === 'node3' ? 'veth' : 'datapathv2')))
  await installTerway(lab, { eniConf: { max_pool_size: 5, min_pool_size: 2, ip_pool_sync_period: '5s' } })
  await chainPortmap(lab)
  parties = await startParties(lab, balancedService(lab))
})
endLabAfterTests(name)

const labelled = (node: Node, value: 'veth' | 'datapathv2') =>
  lab.kubectl(['label', 'node', node, '--overwrite', `k8s.aliyun.com/datapath=${value}`])

test('the table has every source before every door, by each policy', () => requireComplete(rows, without, ['Cluster', 'Local']))

test('every source reaches every door, seen with the address that it should have, on the way that it should take', async t => {
  assert.deepEqual(await new Matrix(parties, nodes).run(t, rows, without), [])
})

/** One node's addresses as the programs of pods and nodes see them. */
const own = (node: Node, family: 4 | 6) => {
  const { address, address6 = '' } = lab.node(node).identity
  return family === 4 ? address : address6
}

test('a backend on the network of its node is reached from everywhere; a node that has no backend asks with its own address', async () => {
  const ports = { port: 8301, targetPort: 9300, nodePort: 30_301 }
  await startPod(lab, 'on-host', { node: 'node1', hostNetwork: true, port: ports.targetPort })
  const { spec } = await makeService(lab, 'on-host', ports, { type: 'NodePort', selector: { test: 'on-host' } })
  const inside = targetsAt(spec.clusterIPs, ports.port)
  const wrong = await Promise.all([
    ...from.filter(source => source !== 'outside').map(source => becomes(parties, source, inside, told => told.server === 'node1')),
    becomes(
      parties,
      'outside',
      targetsAt(doorOf(parties, 'node1', 'outside'), ports.nodePort),
      told => told.client === internet(told.family),
    ),
    becomes(
      parties,
      'outside',
      targetsAt(doorOf(parties, 'node3', 'outside'), ports.nodePort),
      told => told.client === own('node3', told.family),
    ),
  ])
  assert.deepEqual(wrong.flat(), [])
})

test('a node reaches its NodePorts by its loopback addresses', async () => {
  const targets = targetsAt(['127.0.0.1', '::1'], parties.services.Cluster.get('node2')?.spec.ports[0]?.nodePort ?? 0)
  for (const source of ['V2 host', 'regular host'] as const)
    assert.deepEqual(await becomes(parties, source, targets, told => told.server === 'answers-node2'), [])
})

test('a client stays with its backend where the Service says so, and others spread', async () => {
  for (const node of nodes) await lab.kubectl(['label', 'pod', `answers-${node}`, 'group=all', '--overwrite'])
  const selector = { group: 'all' }
  const type = 'NodePort'
  const sticky = { port: 8401, targetPort: 8080, nodePort: 30_401 }
  const { spec } = await makeService(lab, 'sticky', sticky, { type, selector, sessionAffinity: 'ClientIP' })
  const spread = await makeService(lab, 'spread', { port: 8402, targetPort: 8080, nodePort: 30_402 }, { type, selector })
  const served = async (source: Source, target: string) => {
    await becomes(parties, source, [target], told => told.server !== undefined)
    return new Set(
      (
        await tellsAll(
          parties,
          source,
          Array.from({ length: 16 }, () => target),
        )
      ).map(told => told.server),
    )
  }
  for (const source of from) {
    const outside = source === 'outside'
    for (const [i, ip] of (outside ? doorOf(parties, 'node1', source) : spec.clusterIPs).entries()) {
      const one = await served(source, `tcp ${ip} ${outside ? sticky.nodePort : sticky.port}`)
      assert.equal(one.size, 1, `${source}, ${ip}: ${[...one]}`)
      const other = outside ? `tcp ${ip} 30402` : `tcp ${spread.spec.clusterIPs[i]} 8402`
      assert.ok((await served(source, other)).size > 1, `${source}, ${other}`)
    }
  }
})

test('whom a Service wants near is near: of the zone or of the node, and of anywhere when nobody is there', () => nearEndpoints(parties))

test('backends follow from the client where eni_conf says so, and a Service does not say otherwise', () => backendsByMaglev(parties))

test('what does not disturb each other', { concurrency: true }, async t => {
  await Promise.all([
    t.test('a client that was silent for as long as its Service says is given a backend anew', () => affinityTimesOut(parties)),
    t.test('a pod that is not ready is asked where its Service says so, and nowhere else', () => notReadyAddresses(parties)),
    t.test('a Service of another proxy is not served', () => leftToAnotherProxy(parties)),
    t.test('a Service without endpoints refuses, at once and everybody, at every door', () => refusedWithoutEndpoints(parties)),
  ])
})

test('an address of a balancer is for clients of its source ranges: where it is translated, and at the balancer; the node itself is always one', async () => {
  const selector = { test: 'answers-node1' }
  const make = async (service: string, port: number, loadBalancerSourceRanges: readonly string[]) => {
    await makeService(lab, service, { port, targetPort: 8080 }, { type: 'LoadBalancer', selector, loadBalancerSourceRanges })
    interface Balanced {
      readonly status: { readonly loadBalancer: { readonly ingress?: readonly { readonly ip: string }[] } }
    }
    const addresses = async () => (await get<Balanced>(lab, 'service', service)).status.loadBalancer.ingress?.map(i => i.ip)
    return targetsAt(await until(`${service} has its addresses`, 120_000, addresses, 250), port)
  }
  const [open, closed] = await Promise.all([
    make('open', 8601, [seed.vpc.cidr4, seed.vpc.cidr6]),
    make('closed', 8602, [`${INTERNET.host4}/32`, `${INTERNET.host6}/128`]),
  ])
  const [answered, silent] = [(told: Told) => told.server === 'answers-node1', (told: Told) => told.client === 'nothing']
  const wrong = [
    ...(['V2 pod', 'regular pod'] as const).flatMap(source => [
      becomes(parties, source, open, answered),
      becomes(parties, source, closed, silent),
    ]),
    becomes(parties, 'V2 host', closed, answered),
    becomes(parties, 'outside', open, silent),
    becomes(parties, 'outside', closed, answered),
  ]
  assert.deepEqual((await Promise.all(wrong)).flat(), [])
})

/** What a node answers at a port of health, seen from the VPC. */
async function health(node: Node, port: number): Promise<string> {
  const script = 'fetch(process.argv[1]).then(async r => console.log(r.status, (await r.text()).trim()), e => console.log(e.message))'
  return (await lab.onControl([process.execPath, '-e', script, `http://${own(node, 4)}:${port}/healthz`])).stdout.trim()
}

test("a node says at the Service's port of health whether it has a backend, and at kube-proxy's whether it translates", async () => {
  const { spec } = await get<{ readonly spec: { readonly healthCheckNodePort: number } }>(lab, 'service', 'local-node1')
  assert.match(await health('node1', spec.healthCheckNodePort), /^200 .*"localEndpoints": ?1/s)
  for (const node of ['node2', 'node3'] as const)
    assert.match(await health(node, spec.healthCheckNodePort), /^503 .*"localEndpoints": ?0/s, node)
  for (const node of nodes) assert.match(await health(node, 10256), /^200 /, node)
})

/** A server whose first process hears no SIGTERM goes on until its grace is over. */
const deaf = `/bin/heartbeat serve ${beatPort} & trap '' TERM; while :; do sleep 1; done`
const leavingWish = { command: ['sh', '-c', deaf], graceSeconds: 120, restartPolicy: 'Never' } as const

test('connections to a backend that ends go on, new ones go elsewhere, and to it when there is nobody else', async () => {
  await startPod(lab, 'leaving', { node: 'node2', ...leavingWish })
  const { spec } = await makeService(lab, 'leaving', { port: beatPort, targetPort: beatPort }, { selector: { test: 'leaving' } })
  const [first = ''] = spec.clusterIPs
  const flows = await Promise.all([
    Heartbeat.start(lab, { node: 'node1', server: first, name: 'v2-leaving' }),
    Heartbeat.start(lab, { node: 'node3', server: first, name: 'regular-leaving' }),
    Heartbeat.start(lab, { node: 'node1', server: first, name: 'host-leaving', hostNetwork: true }),
  ])
  await lab.kubectl(['delete', 'pod', 'leaving', '--wait=false'])
  await Promise.all(flows.map(flow => flow.goesOn()))
  const late = await Heartbeat.start(lab, { node: 'node3', server: first, name: 'late-leaving' })
  assert.notEqual((await get<Pod>(lab, 'pod', 'leaving')).metadata.deletionTimestamp, undefined, 'the backend has ended too early')
  await late.goesOn()
  await deletePods(lab, ...[...flows, late].map(flow => flow.client))
  // Its grace has served its purpose.
  await lab.kubectl(['delete', 'pod', 'leaving', '--now', '--timeout=300s'])
  const wrong = await becomes(parties, 'V2 pod', targetsAt(spec.clusterIPs, beatPort), told => told.client === 'refused')
  assert.deepEqual(wrong, [])
})

/** Connections that never stop, by every kind of translation: at the pod of either kind of node, at the socket, and at a node that was asked. */
async function startFlows(): Promise<readonly Heartbeat[]> {
  await beatServer(lab, 'node2')
  const ports = { port: beatPort, targetPort: beatPort, nodePort: 30_700 }
  const { spec } = await makeService(lab, 'beats', ports, { type: 'NodePort', selector: { test: 'beat-server' } })
  const [first = ''] = spec.clusterIPs
  const ways: readonly BeatWish[] = [
    ...spec.clusterIPs.flatMap(server => [
      { name: 'v2', node: 'node1', server },
      { name: 'regular', node: 'node3', server },
      { name: 'host', node: 'node1', server, hostNetwork: true },
    ]),
    ...doorOf(parties, 'node1', 'V2 pod').map(server => ({ name: 'by-node', node: 'node3', server, port: ports.nodePort })),
    { name: 'v2', node: 'node1', server: first, protocol: 'udp' },
    { name: 'regular', node: 'node3', server: first, protocol: 'udp' },
  ]
  return Promise.all(ways.map(way => Heartbeat.start(lab, way)))
}

async function killed(program: string): Promise<void> {
  for (const node of nodes) killProgram(lab, node, program)
  // New connections are translated with the process away, too.
  const targets = targetsAt(
    parties.services.Cluster.get('node2')?.spec.clusterIPs ?? [],
    parties.services.Cluster.get('node2')?.spec.ports[0]?.port ?? 0,
  )
  for (const source of ['V2 pod', 'regular pod', 'V2 host'] as const)
    assert.deepEqual(
      (await tellsAll(parties, source, targets)).filter(told => told.server !== 'answers-node2'),
      [],
      `${program} is away, ${source}`,
    )
  await until(
    'everything is back',
    120_000,
    async () => (await readyPods(lab, 'app=terway-eniip', nodes.length)).length === nodes.length,
    250,
  )
}

/** Services come and go, and so do endpoints of the one that beats: its connections stay with the backend that they have. */
async function churn(): Promise<void> {
  const names = Array.from({ length: 20 }, (_, i) => `churn-${i}`)
  await startPod(lab, 'beat-second', { node: 'node3', command: ['/bin/heartbeat', 'serve', String(beatPort)], restartPolicy: 'Never' })
  const items = names.map((service, i) => serviceManifest(service, { port: 9000 + i, targetPort: 8080 }, { selector: { group: 'all' } }))
  for (const selector of ['beat-second', 'beat-server']) {
    await lab.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items }))
    await lab.kubectl(['patch', 'service', 'beats', '-p', JSON.stringify({ spec: { selector: { test: selector } } })])
    await lab.kubectl(['delete', 'service', ...names])
  }
  await deletePods(lab, 'beat-second')
}

/** New connections from a pod's network, whatever its node's kubelet does. */
async function byPod(netns: string, targets: readonly string[]): Promise<readonly (string | undefined)[]> {
  const app = join(root, 'build', 'app')
  return answers((await lines(lab.node('node1'), 'nsenter', `--net=${netns}`, app, 'ask', ...targets)).join('\n')).map(a => a.server)
}

/** While the API server moves, Services go on as they are on a node whose processes are away; others follow it, and so does this one's when they are back. */
async function apiServerMoves(): Promise<void> {
  const ports = { port: 8410, targetPort: 8080 }
  const { spec } = await makeService(lab, 'follows', ports, { selector: { test: 'answers-node2' } })
  const targets = targetsAt(spec.clusterIPs, ports.port)
  const asked = (source: Source, server: string) => becomes(parties, source, targets, told => told.server === server)
  assert.deepEqual(await asked('V2 pod', 'answers-node2'), [])
  const { netns } = (await leaseOf(lab, 'node1', 'asks-node1')).attachment
  await moveApiServer(lab)
  // Nobody starts what is killed.
  await lab.node('node1').stop('kubelet')
  for (const program of ['terway-policy', 'terwayd']) killProgram(lab, 'node1', program)
  await closeOldAddress(lab)
  await moveKubelets(lab, ['node2', 'node3'])
  await lab.kubectl(['patch', 'service', 'follows', '-p', JSON.stringify({ spec: { selector: { test: 'answers-node3' } } })])
  assert.deepEqual(await asked('regular pod', 'answers-node3'), [])
  assert.deepEqual(new Set(await byPod(netns, targets)), new Set(['answers-node2']))
  await moveKubelets(lab, ['node1'])
  assert.deepEqual(await asked('V2 pod', 'answers-node3'), [])
  // Its terwayd has heard of it from the API server.
  await startPod(lab, 'after-move', { node: 'node1' })
  await openOldAddress(lab)
  await deletePods(lab, 'after-move')
}

const forwardsBy = (node: Node, mode: RegExp) =>
  until(
    `${node} has mode ${mode}`,
    120_000,
    async () => mode.test(/^mode: (.*)$/m.exec(await datapath(lab, node, 'status').catch(() => ''))?.[1] ?? ''),
    250,
  )

test('no connection by a Service breaks and no datagram is lost while daemons are killed, the API server moves, Services and endpoints churn, and a node is switched', async t => {
  const flows = await startFlows()
  const steps: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['terway-policy is killed', () => killed('terway-policy')],
    ['terwayd is killed', () => killed('terwayd')],
    ['the API server moves', apiServerMoves],
    ['Services churn', churn],
    ['label veth', async () => [await labelled('node1', 'veth'), await forwardsBy('node1', /^(?!.*forward).*service/)]],
    ['label datapathv2', async () => [await labelled('node1', 'datapathv2'), await forwardsBy('node1', /forward.*service/)]],
  ]
  for (const [step, work] of steps) await noneBreaks(t, flows, step, work)
  await deletePods(lab, 'beat-server', ...flows.map(flow => flow.client))
})

test('a node that boots with empty maps comes back by itself, and is reached and reaches as before', async () => {
  await lab.node('node2').restart()
  // Until the kubelet has looked, the API server has the pods as they were before.
  const again = (pod: string) =>
    until(
      `${pod} runs again`,
      180_000,
      async () => {
        const found = await get<Pod>(lab, 'pod', pod)
        return isReady(found) && (found.status.containerStatuses?.[0]?.restartCount ?? 0) > 0
      },
      500,
    )
  await Promise.all([again('answers-node2'), again('asks-node2')])
  const service = parties.services.Cluster.get('node2') ?? assert.fail('no Service')
  const [port] = service.spec.ports
  const inside = targetsAt(service.spec.clusterIPs, port?.port ?? 0)
  const outside = targetsAt(doorOf(parties, 'node2', 'outside'), port?.nodePort ?? 0)
  const other = parties.services.Cluster.get('node1') ?? assert.fail('no Service')
  const from2 = targetsAt(other.spec.clusterIPs, other.spec.ports[0]?.port ?? 0)
  const booted = { lab, asking: new Map([['node1', parties.asking.get('node2') ?? assert.fail('no pod')]]) }
  const wrong = [
    ...(await becomes(parties, 'V2 pod', inside, told => told.server === 'answers-node2')),
    ...(await becomes(parties, 'outside', outside, told => told.client === internet(told.family))),
    // A pod of the node that has booted asks in the place of node1's.
    ...(await becomes(booted, 'V2 pod', from2, told => told.server === 'answers-node1')),
  ]
  assert.deepEqual(wrong, [])
})
