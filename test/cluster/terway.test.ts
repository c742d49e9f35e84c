// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import { disagreements, settled, unaccounted } from '../../lab/agree.ts'
import { processesOf } from '../../lab/chaos/act.ts'
import { askCloud } from '../../lab/cloud/enis.ts'
import { Lab } from '../../lab/lab.ts'
import { leasesOf } from '../../lab/ledger.ts'
import { collectAll } from '../../lab/logs.ts'
import { get, podsOf } from '../../lab/pods.ts'
import { until } from '../../lab/process.ts'
import { helm, installTerway, readyNodes, readyPods } from '../../lab/terway.ts'
import { nodeVSwitches, seed } from '../../lab/vpc.ts'
import type { NodeCr } from '../../src/kube/crd/node.ts'
import { Heartbeat } from './heartbeat.ts'
import { changesDuring, lines, terwayState } from './terway-kernel.ts'
import { deletePods, ipOf, leaseOf, pauseOf, reached, readyPod, startPod } from './terway-pods.ts'

/*
 * Terway as the chart installs it, in one lab, from the first pod to `helm uninstall`. The cases follow each other: each leaves
 * the cluster whole.
 */
const name = `terway-${process.pid}`
const system = ['-n', 'kube-system'] as const
let lab: Lab
let beat: Heartbeat
let failed = false

before(async () => {
  lab = await Lab.up({ name, nodes: 2, seed, instanceType: 'ecs.lab.medium', vSwitchIds: nodeVSwitches })
  await installTerway(lab, { eniConf: { max_pool_size: 5, min_pool_size: 2, ip_pool_sync_period: '5s' } })
})
afterEach(t => {
  failed ||= 'passed' in t && !t.passed
})
after(async () => {
  if (failed) {
    const directory = join(tmpdir(), name)
    await collectAll(lab, directory)
    console.error(`logs and state of the lab: ${directory}`)
  }
  await Lab.down(name)
})

const agreed = async () => assert.deepEqual((await settled(lab, 90_000)).flatMap(disagreements), [])
const terwaydOf = (node: string) =>
  lab
    .node(node)
    .programs()
    .find(p => p.argv[0]?.endsWith('/node') && p.argv.includes('/usr/lib/terway/terwayd.mjs'))

/** Since when each node has been Ready. */
async function readySince(): Promise<string> {
  interface Node {
    readonly status: {
      readonly conditions: readonly { readonly type: string; readonly status: string; readonly lastTransitionTime: string }[]
    }
  }
  const conditions = (await get<Node[]>(lab, 'nodes')).flatMap(n => n.status.conditions.filter(c => c.type === 'Ready'))
  return conditions.map(c => `${c.status} ${c.lastTransitionTime}`).join(', ')
}

async function restartDaemons(): Promise<void> {
  await lab.kubectl([...system, 'rollout', 'restart', 'daemonset/terway-eniip'])
  await lab.kubectl([...system, 'rollout', 'status', 'daemonset/terway-eniip', '--timeout=180s'])
}

test("a pod has an address of one of its node's ENIs, and is reached from the VPC", async () => {
  for (const { name: node, identity } of lab.state.nodes) {
    const address = ipOf(await startPod(lab, `on-${node}`, { node }))
    const eni = (await askCloud(lab)).find(e => e.ipv4.includes(address))
    assert.deepEqual([eni?.instanceId, eni?.type, eni?.status], [identity.instanceId, 'Secondary', 'InUse'])
    await reached(lab, address)
  }
  await agreed()
})

/*
 * A kubelet takes a new pod from the API server, so there is none without it. But it makes the sandbox of a pod that it knows
 * anew when that ends: the sandbox's pause program is killed, and containerd, kubelet, shim and terwayd do the rest. The API
 * server is stopped in the middle of whatever it does (SIGSTOP): connections to it hang, which is worse than refusal.
 */
test('with an API server that hangs, a new sandbox gets an idle address', async () => {
  const before = await leaseOf(lab, 'node1', 'on-node1')
  const { pid } = await lab.process('control', 'kube-apiserver')
  process.kill(pid, 'SIGSTOP')
  try {
    process.kill(await pauseOf(lab, 'node1', before), 'SIGKILL')
    const now = await leaseOf(lab, 'node1', 'on-node1', l => l.containerId !== before.containerId)
    assert.notEqual(now.attachment.v4?.address, before.attachment.v4?.address, 'the old address rests')
    await reached(lab, now.attachment.v4?.address ?? '')
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  const { attachment } = await leaseOf(lab, 'node1', 'on-node1')
  await until(
    'the API server knows the new address',
    90_000,
    async () => ipOf(await readyPod(lab, 'on-node1')) === attachment.v4?.address,
    500,
  )
  await readyNodes(lab)
  await agreed()
})

test('without a controller, pods start from idle addresses', async () => {
  await lab.kubectl([...system, 'scale', 'deployment', 'terway-controlplane', '--replicas=0'])
  await until('no controller', 60_000, async () => (await podsOf(lab, 'app=terway-controlplane')).length === 0, 250)
  await reached(lab, ipOf(await startPod(lab, 'alone', { node: 'node1' })))
  await deletePods(lab, 'alone')
  await lab.kubectl([...system, 'scale', 'deployment', 'terway-controlplane', '--replicas=1'])
  await readyPods(lab, 'app=terway-controlplane', 1)
})

test('two controllers survive the death of the one that leads: the other makes the ENI that new pods need', async t => {
  const controllers = async (n: number) => {
    await lab.kubectl([...system, 'scale', 'deployment', 'terway-controlplane', `--replicas=${n}`])
    await until(`${n} controllers`, 60_000, async () => (await podsOf(lab, 'app=terway-controlplane')).length === n, 250)
    await readyPods(lab, 'app=terway-controlplane', n)
  }
  const holder = async () => {
    const { spec } = await get<{ readonly spec: { readonly holderIdentity?: string } }>(lab, ...system, 'lease', 'terway-controlplane')
    return lab.nodes().find(({ name: node }) => spec.holderIdentity?.startsWith(`terway-ts_${node}_`))?.name
  }
  const { instanceId } = lab.node('node2').identity
  const enis = async () => (await askCloud(lab)).filter(e => e.instanceId === instanceId && e.type === 'Secondary').map(e => e.id)
  await controllers(2)
  const leader = (await until('a leader', 60_000, holder)) ?? assert.fail('no leader')
  const [pid = assert.fail(`no terway-controlplane on ${leader}`)] = processesOf(lab, '/usr/bin/terway-controlplane', leader)
  process.kill(pid, 'SIGKILL')
  const killed = performance.now()
  const before = await enis()
  // An ENI of this instance type has ten addresses.
  const names = Array.from({ length: before.length * 10 + 1 - (leasesOf(lab, 'node2') ?? []).length }, (_, i) => `more-${i}`)
  await Promise.all(names.map(pod => startPod(lab, pod, { node: 'node2' })))
  t.diagnostic(`${names.length} pods ready ${Math.round(performance.now() - killed)} ms after the leader's death`)
  assert.ok(
    (await enis()).some(id => !before.includes(id)),
    'a new ENI serves them',
  )
  const successor = await holder()
  assert.ok(successor !== undefined && successor !== leader, `${leader} led, ${successor} does now`)
  await deletePods(lab, ...names)
  await controllers(1)
  await agreed()
})

test('a node that reboots makes the networks of its pods anew, and nothing of before is left', async () => {
  const before = leasesOf(lab, 'node1') ?? assert.fail('no ledger')
  await lab.node('node1').restart()
  const lease = await leaseOf(lab, 'node1', 'on-node1', l => !before.some(b => b.containerId === l.containerId))
  await readyNodes(lab)
  await readyPods(lab, 'app=terway-eniip', 2)
  await until(
    'the API server knows the new address',
    90_000,
    async () => ipOf(await readyPod(lab, 'on-node1')) === lease.attachment.v4?.address,
    500,
  )
  await reached(lab, lease.attachment.v4?.address ?? '')
  const containers = new Set(before.map(l => l.containerId))
  const now = await until('the ledger can be read', 10_000, () => leasesOf(lab, 'node1'))
  assert.deepEqual(
    now.filter(l => containers.has(l.containerId)),
    [],
  )
  await agreed()
})

test('a connection between pods outlives terwayd, killed and upgraded, and no link, route or rule changes', async t => {
  beat = await Heartbeat.start(lab, 'node1', 'node2')
  await agreed()
  const node = lab.node('node1')
  const before = await terwayState(node)
  let ready = ''
  const mark = await beat.mark()
  const changes = await changesDuring(node, async () => {
    const killed = terwaydOf('node1') ?? assert.fail('no terwayd on node1')
    process.kill(killed.pid, 'SIGKILL')
    await until('a new terwayd', 60_000, () => ![undefined, killed.pid].includes(terwaydOf('node1')?.pid), 100)
    await readyPods(lab, 'app=terway-eniip', 2)
    await readyNodes(lab)
    ready = await readySince()
    await restartDaemons()
  })
  assert.equal(await readySince(), ready, 'an upgrade leaves the nodes Ready: else Services would lose their pods')
  assert.deepEqual(changes, [])
  assert.deepEqual(await terwayState(node), before)
  await beat.goesOn()
  t.diagnostic(`longest wait for a beat: ${await beat.worstSince(mark)} ms`)
})

test('what somebody deletes on the node is put back within seconds, under the living connection', async t => {
  const node = lab.node('node1')
  const { attachment } = await leaseOf(lab, 'node1', 'beat-server')
  const address = attachment.v4?.address ?? ''
  const whole = await terwayState(node)
  const table =
    whole.flatMap(l => new RegExp(`^2048: from ${address} lookup (\\d+)`).exec(l)?.[1] ?? [])[0] ?? assert.fail('no rule of the pod')
  const sandbox = basename(attachment.netns)
  const damages: readonly (readonly string[])[] = [
    ['rule', 'del', 'priority', '512', 'to', address],
    ['rule', 'del', 'priority', '2048', 'from', address],
    ['route', 'del', address],
    ['route', 'flush', 'table', table],
  ]
  const all = async () => {
    const inPod = [
      await lines(node, 'ip', '-n', sandbox, 'route'),
      await lines(node, 'ip', '-n', sandbox, 'neigh', 'show', 'nud', 'permanent'),
    ]
    return [...(await terwayState(node)), ...inPod.flat()].join('\n')
  }
  const wanted = await all()
  const repaired = async (what: string, ms: number) => {
    const broken = performance.now()
    await until(`${what} is repaired`, ms, async () => (await all()) === wanted, 100)
    t.diagnostic(`${what}: repaired after ${Math.round(performance.now() - broken)} ms`)
  }
  for (const damage of damages) {
    await lines(node, 'ip', ...damage)
    await repaired(`ip ${damage.join(' ')}`, 20_000)
    await beat.goesOn()
  }
  // Inside a pod nobody watches: the round of every five seconds finds it. Then TCP's own pause has grown to as much again.
  await lines(node, 'ip', '-n', sandbox, 'route', 'del', 'default')
  await lines(node, 'ip', '-n', sandbox, 'neigh', 'del', '169.254.1.1', 'dev', 'eth0')
  await repaired('default route and neighbour inside the pod', 15_000)
  await beat.goesOn(30_000)
})

test('a broken configuration is refused by an Event on the node, and the last good one stays', async () => {
  const nodeSpec = async () => (await get<NodeCr>(lab, 'nodes.network.alibabacloud.com', 'node1')).spec
  const before = await nodeSpec()
  const { data } = await get<{ readonly data: Readonly<Record<string, string>> }>(lab, ...system, 'configmap', 'eni-config')
  const patch = (eniConf: string) =>
    lab.kubectl([...system, 'patch', 'configmap', 'eni-config', '--type=merge', '-p', JSON.stringify({ data: { eni_conf: eniConf } })])
  const good: Record<string, unknown> = JSON.parse(data.eni_conf ?? '')
  await patch(JSON.stringify({ ...good, max_pool_size: 'many', min_pool_size: 1 }))
  interface KubeEvent {
    readonly reason: string
    readonly message: string
  }
  const about = ['--field-selector', 'involvedObject.kind=Node,involvedObject.name=node1']
  const event = await until('an Event on the node', 60_000, async () =>
    (await get<KubeEvent[]>(lab, 'events', '--all-namespaces', ...about)).find(e => e.reason === 'ConfigError'),
  )
  assert.match(event.message, /max_pool_size/)
  assert.deepEqual((await nodeSpec()).pool, before.pool)
  await patch(JSON.stringify({ ...good, max_pool_size: 6 }))
  await until('the good one is taken', 60_000, async () => (await nodeSpec()).pool?.maxPoolSize === 6, 250)
  await patch(data.eni_conf ?? '')
  await until('the former one is back', 60_000, async () => (await nodeSpec()).pool?.maxPoolSize === before.pool?.maxPoolSize, 250)
})

test('a node joins and gets ENIs; when it leaves, the cloud is left without any of them', async () => {
  const node = await lab.join('node3')
  const { instanceId } = node.identity
  await readyPods(lab, 'app=terway-eniip', 3)
  await readyNodes(lab)
  await reached(lab, ipOf(await startPod(lab, 'on-node3', { node: 'node3' })))
  assert.ok((await askCloud(lab)).some(e => e.instanceId === instanceId && e.type === 'Secondary'))
  await node.leave()
  await lab.kubectl(['delete', 'pod', 'on-node3', '--force', '--ignore-not-found'])
  await until(
    'its record is gone',
    90_000,
    async () => !(await get<NodeCr[]>(lab, 'nodes.network.alibabacloud.com')).some(n => n.metadata.name === 'node3'),
    500,
  )
  await until('its ENIs are gone', 60_000, async () => (await unaccounted(lab)).length === 0, 1_000)
  await agreed()
})

test('a plugin that is chained behind Terway works: portmap gives a pod a port of its node', async () => {
  for (const node of lab.nodes()) await lines(node, 'cp', '/usr/lib/cni/portmap', '/opt/cni/bin/portmap')
  const { data } = await get<{ readonly data: Readonly<Record<string, string>> }>(lab, ...system, 'configmap', 'eni-config')
  const plugins = [JSON.parse(data['10-terway.conf'] ?? ''), { type: 'portmap', capabilities: { portMappings: true }, snat: true }]
  const list = JSON.stringify({ cniVersion: '1.0.0', name: 'terway', plugins })
  await lab.kubectl([
    ...system,
    'patch',
    'configmap',
    'eni-config',
    '--type=merge',
    '-p',
    JSON.stringify({ data: { '10-terway.conflist': list } }),
  ])
  await restartDaemons()
  for (const node of lab.nodes()) {
    const written = JSON.parse((await lines(node, 'cat', '/etc/cni/net.d/10-terway.conflist')).join(''))
    assert.deepEqual(
      written.plugins.map((p: { type: string }) => p.type),
      ['terway', 'portmap'],
    )
  }
  await startPod(lab, 'with-port', { node: 'node1', hostPort: 18081 })
  await reached(lab, lab.node('node1').identity.address, 18081)
  await deletePods(lab, 'with-port')
  await agreed()
})

test('uninstalling the chart leaves running pods their network', async () => {
  const nodes = lab.nodes()
  const before = await Promise.all(nodes.map(terwayState))
  await beat.goesOn()
  await helm(lab, ['uninstall', 'terway', '--wait', '--timeout=120s'])
  await until('no pod of Terway', 90_000, async () => (await podsOf(lab, 'app.kubernetes.io/name=terway')).length === 0, 500)
  assert.equal(terwaydOf('node1'), undefined)
  assert.deepEqual(await Promise.all(nodes.map(terwayState)), before)
  await beat.goesOn()
  await reached(lab, ipOf(await readyPod(lab, 'on-node2')))
})
