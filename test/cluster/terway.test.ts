// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import { basename } from 'node:path'
import { before, test } from 'node:test'
import { unaccounted } from '../../lab/agree.ts'
import { processesOf } from '../../lab/chaos/act.ts'
import { askCloud } from '../../lab/cloud/enis.ts'
import { get } from '../../lab/get.ts'
import type { Lab } from '../../lab/lab.ts'
import { leasesOf } from '../../lab/ledger.ts'
import { addressesOf as machineAddresses } from '../../lab/node/config.ts'
import { ipsOf, podsOf } from '../../lab/pods.ts'
import { identify, signal, until } from '../../lab/process.ts'
import { helm, readyNodes, readyPods } from '../../lab/terway.ts'
import { addressesOf } from '../../src/ipam/book.ts'
import type { NodeCr } from '../../src/kube/crd/node.ts'
import { type Heartbeat, startHeartbeats } from './heartbeat.ts'
import { changesDuring, lines, tentative, terwayState } from './terway-kernel.ts'
import { agreed, endLabAfterTests, startLab } from './terway-lab.ts'
import { createPod, deletePods, leaseOf, pauseOf, reached, readyPod, startPod, toldOf } from './terway-pods.ts'

/*
 * Terway as the chart installs it, in one lab of both families, from the first pod to `helm uninstall`. The cases follow each
 * other: each leaves the cluster whole.
 */
const name = `terway-${process.pid}`
const system = ['-n', 'kube-system'] as const
let lab: Lab
/** One of each family. */
let beats: readonly Heartbeat[]

before(async () => {
  lab = await startLab(name, 'dual')
})
endLabAfterTests(name)

const beatsGoOn = async () => Promise.all(beats.map(beat => beat.goesOn()))
const terwaydOf = (node: string) =>
  lab
    .node(node)
    .programs()
    .find(p => p.argv[0]?.endsWith('/node') && p.argv.includes('/usr/lib/terway/terwayd.mjs'))

interface KubeEvent {
  readonly reason: string
  readonly message: string
}
const eventsAbout = (kind: 'Node' | 'Pod', about: string) =>
  get<KubeEvent[]>(lab, 'events', '--all-namespaces', '--field-selector', `involvedObject.kind=${kind},involvedObject.name=${about}`)

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

/** The node of the controller that leads. One that has ended leaves its name too, with a duration of a second. */
async function leader(): Promise<string | undefined> {
  interface Lease {
    readonly spec: { readonly holderIdentity?: string; readonly leaseDurationSeconds?: number }
  }
  const { holderIdentity = '', leaseDurationSeconds = 0 } = (await get<Lease>(lab, ...system, 'lease', 'terway-controlplane')).spec
  if (leaseDurationSeconds <= 1) return undefined
  return lab.nodes().find(({ name: node }) => holderIdentity.startsWith(`terway-ts_${node}_`))?.name
}

async function restartDaemons(): Promise<void> {
  await lab.kubectl([...system, 'rollout', 'restart', 'daemonset/terway-eniip'])
  await lab.kubectl([...system, 'rollout', 'status', 'daemonset/terway-eniip', '--timeout=300s'])
}

test("a pod has an address of each family, of one of its node's ENIs, and is reached from the VPC", async () => {
  for (const { name: node, identity } of lab.state.nodes) {
    const addresses = ipsOf(await startPod(lab, `on-${node}`, { node }))
    assert.deepEqual(addresses.map(isIP), [4, 6])
    const eni = (await askCloud(lab)).find(e => addresses.every(ip => e.ipv4.includes(ip) || e.ipv6.includes(ip)))
    assert.deepEqual([eni?.instanceId, eni?.type, eni?.status], [identity.instanceId, 'Secondary', 'InUse'])
    assert.deepEqual(await tentative(lab.node(node)), [], 'no address waits for duplicate detection')
    await reached(lab, addresses)
  }
  await agreed(lab)
})

/*
 * A kubelet takes a new pod from the API server, so there is none without it. But it makes the sandbox of a pod that it knows
 * anew when that ends: the sandbox's pause program is killed, and containerd, kubelet, shim and terwayd do the rest. The API
 * server is stopped in the middle of whatever it does (SIGSTOP): connections to it hang, which is worse than refusal.
 */
test('with an API server that hangs, a new sandbox gets idle addresses', async () => {
  const before = await leaseOf(lab, 'node1', 'on-node1')
  const { pid } = await lab.process('control', 'kube-apiserver')
  process.kill(pid, 'SIGSTOP')
  try {
    process.kill(await pauseOf(lab, 'node1', before), 'SIGKILL')
    const now = await leaseOf(lab, 'node1', 'on-node1', l => l.containerId !== before.containerId)
    const old = addressesOf(before)
    assert.deepEqual(
      addressesOf(now).filter(ip => old.includes(ip)),
      [],
      'the old addresses rest',
    )
    await reached(lab, addressesOf(now))
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  await toldOf(lab, 'on-node1', await leaseOf(lab, 'node1', 'on-node1'))
  await readyNodes(lab)
  await agreed(lab)
})

test('without a controller, pods start from idle addresses', async () => {
  await lab.kubectl([...system, 'scale', 'deployment', 'terway-controlplane', '--replicas=0'])
  await until('no controller', 120_000, async () => (await podsOf(lab, 'app=terway-controlplane')).length === 0, 250)
  await reached(lab, ipsOf(await startPod(lab, 'alone', { node: 'node1' })))
  await deletePods(lab, 'alone')
  await lab.kubectl([...system, 'scale', 'deployment', 'terway-controlplane', '--replicas=1'])
  await readyPods(lab, 'app=terway-controlplane', 1)
})

test('two controllers survive the death of the one that leads: the other makes the ENI that new pods need', async t => {
  const controllers = async (n: number) => {
    await lab.kubectl([...system, 'scale', 'deployment', 'terway-controlplane', `--replicas=${n}`])
    await until(`${n} controllers`, 120_000, async () => (await podsOf(lab, 'app=terway-controlplane')).length === n, 250)
    await readyPods(lab, 'app=terway-controlplane', n)
  }
  const { instanceId } = lab.node('node2').identity
  const enis = async () => (await askCloud(lab)).filter(e => e.instanceId === instanceId && e.type === 'Secondary').map(e => e.id)
  await controllers(2)
  const first = await until('a leader', 120_000, leader)
  const before = await enis()
  const kill = () => {
    const ids = processesOf(lab, '/usr/bin/terway-controlplane', first).flatMap(pid => identify(pid) ?? [])
    for (const id of ids) signal(id, 'SIGKILL')
    return ids.length
  }
  assert.equal(kill(), 1)
  const killed = performance.now()
  // Only the other one may lead now: what the kubelet starts in the dead one's place dies too.
  const succession = until(
    'the other one leads',
    120_000,
    async () => {
      kill()
      return ![undefined, first].includes(await leader())
    },
    250,
  )
  // An ENI of this instance type has ten addresses of each family.
  const names = Array.from({ length: before.length * 10 + 1 - (leasesOf(lab, 'node2') ?? []).length }, (_, i) => `more-${i}`)
  await Promise.all([succession, ...names.map(pod => startPod(lab, pod, { node: 'node2' }))])
  t.diagnostic(`${names.length} pods ready ${Math.round(performance.now() - killed)} ms after the leader's death`)
  assert.ok(
    (await enis()).some(id => !before.includes(id)),
    'a new ENI serves them',
  )
  await deletePods(lab, ...names)
  await controllers(1)
  await agreed(lab)
})

test('a node that reboots makes the networks of its pods anew, and nothing of before is left', async () => {
  const before = leasesOf(lab, 'node1') ?? assert.fail('no ledger')
  await lab.node('node1').restart()
  const lease = await leaseOf(lab, 'node1', 'on-node1', l => !before.some(b => b.containerId === l.containerId))
  await readyNodes(lab)
  await readyPods(lab, 'app=terway-eniip', 2)
  await toldOf(lab, 'on-node1', lease)
  await reached(lab, addressesOf(lease))
  const containers = new Set(before.map(l => l.containerId))
  const now = await until('the ledger can be read', 120_000, () => leasesOf(lab, 'node1'))
  assert.deepEqual(
    now.filter(l => containers.has(l.containerId)),
    [],
  )
  await agreed(lab)
})

test('connections between pods outlive terwayd, killed and upgraded, and no link, route or rule changes', async t => {
  beats = await startHeartbeats(lab, 'node1', 'node2')
  await agreed(lab)
  const node = lab.node('node1')
  const before = await terwayState(node)
  let ready = ''
  const marks = await Promise.all(beats.map(beat => beat.mark()))
  const changes = await changesDuring(node, async () => {
    const killed = terwaydOf('node1') ?? assert.fail('no terwayd on node1')
    process.kill(killed.pid, 'SIGKILL')
    await until('a new terwayd', 120_000, () => ![undefined, killed.pid].includes(terwaydOf('node1')?.pid), 100)
    await readyPods(lab, 'app=terway-eniip', 2)
    await readyNodes(lab)
    ready = await readySince()
    await restartDaemons()
  })
  assert.equal(await readySince(), ready, 'an upgrade leaves the nodes Ready: else Services would lose their pods')
  assert.deepEqual(changes, [])
  assert.deepEqual(await terwayState(node), before)
  await beatsGoOn()
  const worst = await Promise.all(beats.map((beat, i) => beat.worstSince(marks[i] ?? 0)))
  t.diagnostic(`longest wait for a beat: ${worst.join(' and ')} ms`)
})

test('what somebody deletes on the node is put back within seconds, under living connections', async t => {
  const node = lab.node('node1')
  const repairs = (await get<KubeEvent[]>(lab, 'events', '--all-namespaces')).filter(e => e.reason === 'ConfigCheck')
  assert.deepEqual(repairs, [], 'ENIs that share a gateway leave each other their routes')
  const lease = await leaseOf(lab, 'node1', 'beat-server')
  const { address: address6, gateway: gateway6 } = lease.attachment.v6 ?? assert.fail('no IPv6 address')
  const whole = (await terwayState(node)).join('\n')
  const found = (pattern: string) => new RegExp(pattern, 'm').exec(whole)?.[1] ?? assert.fail(`no ${pattern}`)
  const table = found(`^2048: from ${address6} lookup (\\d+)`)
  const dev = found(`^default via ${gateway6} dev (\\w+) table ${table}`)
  const sandbox = basename(lease.attachment.netns)
  const damages: readonly (readonly string[])[] = [
    ...addressesOf(lease).flatMap(address => [
      [`-${isIP(address)}`, 'rule', 'del', 'priority', '512', 'to', address],
      [`-${isIP(address)}`, 'rule', 'del', 'priority', '2048', 'from', address],
      [`-${isIP(address)}`, 'route', 'del', address],
      [`-${isIP(address)}`, 'route', 'flush', 'table', table],
    ]),
    ['-6', 'route', 'del', gateway6, 'dev', dev],
  ]
  const inPod = async (...argv: readonly string[]) => lines(node, 'ip', '-n', sandbox, ...argv)
  const all = async () =>
    [
      ...(await terwayState(node)),
      ...(await inPod('-4', 'route')),
      ...(await inPod('-6', 'route')),
      ...(await inPod('neigh', 'show', 'nud', 'permanent')),
    ].join('\n')
  const wanted = await all()
  const repaired = async (what: string) => {
    const broken = performance.now()
    await until(`${what} is repaired`, 120_000, async () => (await all()) === wanted, 100)
    t.diagnostic(`${what}: repaired after ${Math.round(performance.now() - broken)} ms`)
  }
  for (const damage of damages) {
    await lines(node, 'ip', ...damage)
    await repaired(`ip ${damage.join(' ')}`)
    await beatsGoOn()
  }
  // Inside a pod nobody watches: the round of every five seconds finds it. Then TCP's own pause has grown to as much again.
  for (const [family, neighbour] of [
    ['-4', '169.254.1.1'],
    ['-6', 'fe80::1'],
  ] as const) {
    await inPod(family, 'route', 'del', 'default')
    await inPod(family, 'neigh', 'del', neighbour, 'dev', 'eth0')
  }
  await repaired('default routes and neighbours inside the pod')
  await beatsGoOn()
})

test('a broken configuration is refused by an Event on the node, and the last good one stays', async () => {
  const nodeSpec = async () => (await get<NodeCr>(lab, 'nodes.network.alibabacloud.com', 'node1')).spec
  const before = await nodeSpec()
  const { data } = await get<{ readonly data: Readonly<Record<string, string>> }>(lab, ...system, 'configmap', 'eni-config')
  const patch = (eniConf: string) =>
    lab.kubectl([...system, 'patch', 'configmap', 'eni-config', '--type=merge', '-p', JSON.stringify({ data: { eni_conf: eniConf } })])
  const good: Record<string, unknown> = JSON.parse(data.eni_conf ?? '')
  await patch(JSON.stringify({ ...good, max_pool_size: 'many', min_pool_size: 1 }))
  const event = await until('an Event on the node', 120_000, async () =>
    (await eventsAbout('Node', 'node1')).find(e => e.reason === 'ConfigError'),
  )
  assert.match(event.message, /max_pool_size/)
  assert.deepEqual((await nodeSpec()).pool, before.pool)
  await patch(JSON.stringify({ ...good, max_pool_size: 6 }))
  await until('the good one is taken', 120_000, async () => (await nodeSpec()).pool?.maxPoolSize === 6, 250)
  await patch(data.eni_conf ?? '')
  await until('the former one is back', 120_000, async () => (await nodeSpec()).pool?.maxPoolSize === before.pool?.maxPoolSize, 250)
})

/** Two ENIs for pods, each with six IPv4 addresses and two IPv6 ones: four pairs. */
test('a node whose families are unequal says how many pods it serves, and serves them; when it leaves, the cloud is left without its ENIs', async () => {
  const node = await lab.join('node3', 'ecs.lab.uneven')
  const { instanceId } = node.identity
  await readyPods(lab, 'app=terway-eniip', 3)
  await readyNodes(lab)
  const limited = await until('an Event on the node', 120_000, async () =>
    (await eventsAbout('Node', 'node3')).find(e => e.reason === 'DualStackLimited'),
  )
  assert.match(limited.message, /ecs\.lab\.uneven has 6 IPv4 and 2 IPv6 addresses per ENI.*serves 4 pods instead of 12/)
  const names = Array.from({ length: 4 }, (_, i) => `on-node3-${i}`)
  const pods = await Promise.all(names.map(pod => startPod(lab, pod, { node: 'node3' })))
  await reached(lab, pods.flatMap(ipsOf))
  const enis = (await askCloud(lab)).filter(e => e.instanceId === instanceId && e.type === 'Secondary')
  assert.deepEqual([enis.length, enis.flatMap(e => e.ipv6).length], [2, 4])
  await createPod(lab, 'too-many', { node: 'node3' })
  const refused = await until('an Event on the pod for which there is no pair', 120_000, async () =>
    (await eventsAbout('Pod', 'too-many')).find(e => e.reason === 'FailedCreatePodSandBox'),
  )
  assert.match(refused.message, /no address for pod default\/too-many.*IPv6: no idle address/)
  await node.leave()
  await lab.kubectl(['delete', 'pod', ...names, 'too-many', '--force', '--ignore-not-found'])
  await until(
    'its record is gone',
    120_000,
    async () => !(await get<NodeCr[]>(lab, 'nodes.network.alibabacloud.com')).some(n => n.metadata.name === 'node3'),
    500,
  )
  await until('its ENIs are gone', 120_000, async () => (await unaccounted(lab)).length === 0, 1_000)
  await agreed(lab)
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
  await reached(lab, machineAddresses(lab.node('node1').identity), 18081)
  await deletePods(lab, 'with-port')
  await agreed(lab)
})

test('uninstalling the chart leaves running pods their network', async () => {
  const nodes = lab.nodes()
  const before = await Promise.all(nodes.map(terwayState))
  await beatsGoOn()
  await helm(lab, ['uninstall', 'terway', '--wait', '--timeout=300s'])
  await until('no pod of Terway', 120_000, async () => (await podsOf(lab, 'app.kubernetes.io/name=terway')).length === 0, 500)
  assert.equal(terwaydOf('node1'), undefined)
  assert.deepEqual(await Promise.all(nodes.map(terwayState)), before)
  await beatsGoOn()
  await reached(lab, ipsOf(await readyPod(lab, 'on-node2')))
})
