// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { basename } from 'node:path'
import { before, test } from 'node:test'
import { unaccounted } from '../../lab/agree.ts'
import { askCloud, type CloudEni } from '../../lab/cloud/enis.ts'
import { get } from '../../lab/get.ts'
import { Lab } from '../../lab/lab.ts'
import { leasesOf } from '../../lab/ledger.ts'
import { exclusive } from '../../lab/node/config.ts'
import { ipsOf, type Pod } from '../../lab/pods.ts'
import { until } from '../../lab/process.ts'
import { installTerway, readyNodes, readyPods } from '../../lab/terway.ts'
import { nodeVSwitches } from '../../lab/vpc.ts'
import { addressesOf } from '../../src/ipam/book.ts'
import { eniModeLabel } from '../../src/kube/crd/node.ts'
import { beatPort, beatServer, Heartbeat, noneBreaks } from './heartbeat.ts'
import { exclusiveSources, type Source } from './matrix.ts'
import { rows, without } from './matrix-exclusive.ts'
import { Matrix, requireComplete } from './matrix-judge.ts'
import { balancedService, openSeed, startParties } from './matrix-lab.ts'
import type { Parties } from './matrix-run.ts'
import { makeService } from './services-lab.ts'
import { killProgram, lines } from './terway-kernel.ts'
import { agreed, endLabAfterTests } from './terway-lab.ts'
import { createPod, deletePods, leaseOf, pauseOf, reached, readyPod, startPod, toldOf } from './terway-pods.ts'

/*
 * A node that gives each pod an ENI, beside one that forwards by programs and a regular one, without kube-proxy and in both families: node2, with room for
 * seven pods. Who reaches whom, what the scheduler counts, and what pods and connections notice of processes that die. The cases follow each other.
 */
const name = `terway-exclusive-${process.pid}`
const nodes = ['node1', 'node2', 'node3'] as const
const own = 'node2'
const room = 7
const limits = { 'aliyun/eni': '1' }
const wish = { node: own, limits }
let lab: Lab
let parties: Parties

before(async () => {
  const instanceTypes = nodes.map(node => (node === own ? 'ecs.g7.4xlarge' : 'ecs.lab.medium'))
  const machines = { nodes: 3, instanceType: 'ecs.lab.medium', instanceTypes, nodeLabels: [{}, exclusive, {}], vSwitchIds: nodeVSwitches }
  lab = await Lab.up({ name, stack: 'dual', proxy: 'off', seed: openSeed, ...machines })
  for (const [node, datapath] of [
    ['node1', 'datapathv2'],
    ['node3', 'veth'],
  ])
    await lab.kubectl(['label', 'node', String(node), `k8s.aliyun.com/datapath=${datapath}`])
  await installTerway(lab, { eniConf: { max_pool_size: 5, min_pool_size: 2, ip_pool_sync_period: '5s' } })
  parties = await startParties(lab, balancedService(lab), node => (node === own ? { limits } : {}))
})
endLabAfterTests(name)

interface Node {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> }
  readonly status: { readonly capacity: Readonly<Record<string, string>>; readonly allocatable: Readonly<Record<string, string>> }
}
interface KubeEvent {
  readonly reason: string
  readonly message: string
}
const eventsAbout = (about: string) =>
  get<KubeEvent[]>(lab, 'events', '--all-namespaces', '--field-selector', `involvedObject.name=${about}`)

/** Secondary ENIs of the exclusive node. */
async function enis(): Promise<readonly CloudEni[]> {
  const { instanceId } = lab.node(own).identity
  return (await askCloud(lab)).filter(eni => eni.instanceId === instanceId && eni.type !== 'Primary')
}

test('an exclusive node offers its ENIs to the scheduler, and others offer none', async () => {
  for (const node of nodes) {
    const { metadata, status } = await get<Node>(lab, 'nodes', node)
    const offered = [status.capacity['aliyun/eni'], status.allocatable['aliyun/eni']]
    assert.deepEqual(offered, node === own ? [String(room), String(room)] : [undefined, undefined], node)
    if (node === own) assert.equal(metadata.annotations?.['k8s.aliyun.com/max-available-ip'], String(room))
  }
})

test('a pod has an ENI for itself, which is its eth0, and is reached from the VPC; the pool has no more ENIs than pods', async () => {
  const pods = [parties.asking.get(own), parties.answering.get(own)].flatMap(pod => pod ?? [])
  const all = await enis()
  for (const pod of pods) {
    const eni = all.find(({ ipv4, ipv6 }) => ipsOf(pod).join() === [...ipv4, ...ipv6].join()) ?? assert.fail(pod.metadata.name)
    const { attachment } = await leaseOf(lab, own, pod.metadata.name)
    const [link = ''] = await lines(lab.node(own), 'ip', '-n', basename(attachment.netns), '-o', 'link', 'show', 'dev', 'eth0')
    assert.ok(link.includes(eni.mac), link)
    await reached(lab, ipsOf(pod))
  }
  assert.equal(all.length, pods.length)
  await agreed(lab)
})

test('the table has every exclusive source before every door, by each policy', () =>
  requireComplete(rows, without, ['Cluster', 'Local'], Object.keys(exclusiveSources) as Source[]))

test('exclusive sources reach every door, and every source an exclusive pod, seen with the address that it should have', async t => {
  assert.deepEqual(await new Matrix(parties, nodes).run(t, rows, without), [])
})

/** Connections to and from exclusive pods: by a Service and by address, translated at a pod's socket, at the node's, and on another node. */
async function startFlows(): Promise<readonly Heartbeat[]> {
  const server = await beatServer(lab, own, 'beat-server', limits)
  const { spec } = await makeService(lab, 'beats', { port: beatPort, targetPort: beatPort }, { selector: { test: 'beat-server' } })
  const [first = ''] = spec.clusterIPs
  const [ip = ''] = ipsOf(server)
  return Promise.all([
    Heartbeat.start(lab, { node: own, server: first, name: 'exclusive', limits }),
    Heartbeat.start(lab, { node: own, server: first, name: 'exclusive', protocol: 'udp', limits }),
    Heartbeat.start(lab, { node: own, server: first, name: 'host', hostNetwork: true }),
    ...spec.clusterIPs.map(server => Heartbeat.start(lab, { node: 'node1', server, name: 'v2' })),
    Heartbeat.start(lab, { node: 'node3', server: ip, name: 'direct' }),
  ])
}

/** The runtime makes the sandbox of a pod anew while the daemon is away and comes back. */
async function sandboxDies(): Promise<void> {
  const pod = 'answers-node2'
  const lease = await leaseOf(lab, own, pod)
  const pause = await pauseOf(lab, own, lease)
  killProgram(lab, own, 'terwayd')
  process.kill(pause, 'SIGKILL')
  const now = await leaseOf(lab, own, pod, l => l.containerId !== lease.containerId)
  await toldOf(lab, pod, now)
  await reached(lab, addressesOf(now))
}

/** The simulated cloud starts again, finds the devices where pods have them, and makes no second ones. */
async function cloudDies(): Promise<void> {
  const { pid } = await lab.process('cloud', 'simulator')
  process.kill(pid, 'SIGKILL')
  await until('the cloud is back', 30_000, async () => {
    const now = await lab.process('cloud', 'simulator').catch(() => undefined)
    return now !== undefined && now.pid !== pid && (await enis().catch(() => [])).length > 0
  })
}

const daemonsReady = () => readyPods(lab, 'app=terway-eniip', nodes.length)

test('no connection of an exclusive pod breaks, and no probe fails, while daemons are killed and sandboxes die', async t => {
  await startPod(lab, 'probed', { ...wish, probed: true })
  const flows = await startFlows()
  await noneBreaks(t, flows, 'terway-policy is killed', async () => [killProgram(lab, own, 'terway-policy'), await daemonsReady()])
  await noneBreaks(t, flows, 'terwayd is killed', async () => [killProgram(lab, own, 'terwayd'), await daemonsReady()])
  await noneBreaks(t, flows, 'a sandbox dies', sandboxDies)
  await noneBreaks(t, flows, 'the cloud is killed', cloudDies)
  const { status } = await get<Pod>(lab, 'pod', 'probed')
  assert.deepEqual([status.phase, status.containerStatuses?.[0]?.restartCount], ['Running', 0])
  const unhealthy = (await eventsAbout('probed')).filter(e => e.reason === 'Unhealthy' && !e.message.startsWith('Startup'))
  assert.deepEqual(unhealthy, [])
  await agreed(lab)
  await deletePods(lab, 'beat-server', ...flows.map(flow => flow.client))
})

test('when there are as many pods as ENIs, one more waits for the scheduler, and gets the ENI of one that ends', async () => {
  const names = ['a', 'b', 'c', 'd'].map(n => `full-${n}`)
  await Promise.all(names.map(pod => startPod(lab, pod, wish)))
  assert.equal((await enis()).length, room)
  await createPod(lab, 'too-many', wish)
  const scheduled = (pod: Pod) => pod.status.conditions?.find(c => c.type === 'PodScheduled')
  const refused = await until('the scheduler has looked', 30_000, async () => scheduled(await get<Pod>(lab, 'pod', 'too-many')), 250)
  assert.equal(refused.status, 'False')
  assert.match((await eventsAbout('too-many')).map(e => e.message).join('\n'), /Insufficient aliyun\/eni/)
  await deletePods(lab, 'full-a')
  await reached(lab, ipsOf(await readyPod(lab, 'too-many')))
  await deletePods(lab, 'too-many', ...names.slice(1))
})

test('a node keeps the mode with which it has joined, and says so where its label says something else', async () => {
  await lab.kubectl(['label', 'node', own, `${eniModeLabel}-`])
  const event = await until('an Event on the node', 60_000, async () => (await eventsAbout(own)).find(e => e.reason === 'EniModeRefused'))
  assert.match(event.message, /exclusive-mode-eni-type/)
  await lab.kubectl(['label', 'node', own, `${eniModeLabel}=eniOnly`])
  await reached(lab, ipsOf(await readyPod(lab, 'probed')))
})

test('a node that boots gives its pods ENIs again', async () => {
  const before = await leaseOf(lab, own, 'asks-node2')
  await lab.node(own).restart()
  const now = await leaseOf(lab, own, 'asks-node2', l => l.containerId !== before.containerId)
  await readyNodes(lab)
  await daemonsReady()
  await toldOf(lab, 'asks-node2', now)
  await reached(lab, addressesOf(now))
  assert.equal((await get<Node>(lab, 'nodes', own)).status.allocatable['aliyun/eni'], String(room))
  await agreed(lab)
})

test('when the pods are gone the cloud has no ENI of theirs, and nothing of them is left on the node', async () => {
  await deletePods(lab, 'asks-node2', 'answers-node2', 'probed')
  await until('no lease', 30_000, () => leasesOf(lab, own)?.length === 0)
  await until('no ENI', 90_000, async () => (await enis()).length === 0, 500)
  await until('every ENI is accounted for', 60_000, async () => (await unaccounted(lab)).length === 0, 500)
  assert.deepEqual(
    (await lines(lab.node(own), 'ip', '-o', 'link')).filter(line => /^\d+: (cali|eth[1-9]|eni)/.test(line)),
    [],
  )
  await agreed(lab)
})
