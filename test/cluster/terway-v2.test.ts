// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { Lab } from '../../lab/lab.ts'
import { get, ipsOf, type Pod, podsOf } from '../../lab/pods.ts'
import { until } from '../../lab/process.ts'
import { installTerway, readyPods } from '../../lab/terway.ts'
import { nodeVSwitches } from '../../lab/vpc.ts'
import { beatServer, Heartbeat, type Protocol } from './heartbeat.ts'
import { batches, type Door, type Node, type Row, relationOf, rows, type Source, sources, without } from './matrix.ts'
import { chainPortmap, openSeed, startParties } from './matrix-lab.ts'
import { ask, type Cell, type Parties } from './matrix-run.ts'
import { endLabAfterTests } from './terway-lab.ts'
import { readyPod, startPod } from './terway-pods.ts'

/*
 * DataPath V2 beside kube-proxy, in a cluster of both families: node1 and node2 forward by programs, node3 by its host stack alone. Who
 * reaches whom, which way, and what living flows notice of a switch.
 */
const name = `terway-v2-${process.pid}`
/**
 * What a flow may lose when devices join or leave the blocks: a packet at its host end and one at the ENI, since the kernel stops a device's
 * queue for a moment when its ingress qdisc comes or goes.
 */
const lostByJoining = 2
const label = 'k8s.aliyun.com/datapath'
let lab: Lab
let parties: Parties

before(async () => {
  lab = await Lab.up({ name, nodes: 3, stack: 'dual', seed: openSeed, instanceType: 'ecs.lab.medium', vSwitchIds: nodeVSwitches })
  await Promise.all(lab.nodes().map(node => labelled(node.name, node.name === 'node3' ? 'veth' : 'datapathv2')))
  await installTerway(lab, { eniConf: { max_pool_size: 5, min_pool_size: 2, ip_pool_sync_period: '5s' } })
  await chainPortmap(lab)
  parties = await startParties(lab)
})
endLabAfterTests(name)

const labelled = (node: string, value: 'veth' | 'datapathv2') => lab.kubectl(['label', 'node', node, '--overwrite', `${label}=${value}`])

/** `terway-cli datapath` in the daemon of a node. */
async function datapath(node: Node, ...args: readonly string[]): Promise<string> {
  const daemon = (await podsOf(lab, 'app=terway-eniip')).find(p => p.spec.nodeName === node) ?? assert.fail(`no daemon on ${node}`)
  return lab.kubectl(['exec', '-n', 'kube-system', daemon.metadata.name, '-c', 'terway', '--', 'terway-cli', 'datapath', ...args])
}

type Counts = Readonly<Record<string, number>>
/** How many packets took each path on a node, or were dropped, as it tells everybody. */
async function counted(node: Node): Promise<Counts> {
  const told = (await datapath(node, 'status')).matchAll(/ ([\w-]+): (\d+) packets/g)
  return Object.fromEntries([...told].map(m => [m[1] ?? '', Number(m[2])]))
}
/** Packets on each path since then; what is none of ours is on no path. */
const taken = (before: Counts, after: Counts): ReadonlyMap<string, number> =>
  new Map(
    Object.entries(after)
      .map(([path, packets]) => [path, packets - (before[path] ?? 0)] as const)
      .filter(([path, packets]) => path !== 'none' && packets > 0),
  )

const nodes = ['node1', 'node2'] as const
const countedOnAll = () => Promise.all(nodes.map(counted))

interface Judged {
  /** Of each row. */
  readonly cells: readonly (readonly Cell[])[]
  /** In words; empty when all packets took the paths that the table says. */
  readonly ways: readonly string[]
  readonly after: readonly Counts[]
}
/** Rows of one batch: they have the same paths, and each exchange has a packet on each of them. */
async function judge(batch: readonly Row[], before: readonly Counts[]): Promise<Judged> {
  const cells = await ask(parties, batch)
  const after = await countedOnAll()
  const ways = nodes.flatMap((node, i) => {
    const is = taken(before[i] ?? {}, after[i] ?? {})
    const wanted = [...(batch[0]?.paths[node] ?? [])].sort()
    const right = [...is.keys()].sort().join() === wanted.join() && [...is.values()].every(packets => packets >= cells.flat().length)
    const told = [...is].map(([path, packets]) => `${path} (${packets})`).join(', ')
    return right ? [] : [`${node}: ${cells.flat().length} exchanges took ${told || 'no path'} instead of ${wanted.join(', ') || 'none'}`]
  })
  return { cells, ways, after }
}

const titleOf = (row: Row) =>
  `${row.from} → ${row.to}${row.to === 'NodePort' || row.to === 'hostPort' ? ` of ${row.door}` : ''}, pod on ${row.backend}`

const cellsOf = (cells: readonly Cell[], row: Row) =>
  [4, 6].flatMap(family =>
    ['tcp', 'udp'].map(protocol => {
      if (row.without?.family === family) return 'n/a'
      return cells.find(c => c.family === family && c.protocol === protocol)?.wrong === undefined ? 'ok' : 'WRONG'
    }),
  )

test('the table has every source before every door', () => {
  const doors: readonly Door[] = ['pod', 'ClusterIP', 'NodePort', 'hostPort']
  for (const from of Object.keys(sources) as Source[])
    for (const to of doors) {
      const here = rows.filter(row => row.from === from && row.to === to)
      if (without.some(w => w.from === from && w.to === to)) assert.deepEqual(here, [])
      else if (from === 'outside') assert.ok(here.length > 0, `${from} → ${to}`)
      else
        for (const relation of ['same node', 'other node'])
          assert.ok(
            here.some(row => relationOf(row) === relation),
            `${from} → ${to}, ${relation}`,
          )
    }
})

test('every source reaches every door, seen with the address that it should have, on the way that it should take', async t => {
  const wrong: string[] = []
  const cellsByRow = new Map<Row, readonly Cell[]>()
  let before: readonly Counts[] = await countedOnAll()
  const settle = async (batch: readonly Row[]): Promise<void> => {
    const { cells, ways, after } = await judge(batch, before)
    before = after
    for (const [i, row] of batch.entries()) cellsByRow.set(row, cells[i] ?? [])
    wrong.push(...ways.map(text => `${batch.map(titleOf).join('; ')}: ${text}`))
    // Once more, to tell which it is.
    if (ways.length > 0 && batch.length > 1) for (const row of batch) await settle([row])
  }
  for (const batch of batches(rows)) await settle(batch)
  for (const row of rows) {
    const cells = cellsByRow.get(row) ?? []
    t.diagnostic(`${titleOf(row).padEnd(50)} ${cellsOf(cells, row).join(' ')} ${Object.values(row.paths).flat().join(' ')}`)
    wrong.push(...cells.flatMap(c => c.wrong ?? []).map(text => `${titleOf(row)}: ${text}`))
  }
  for (const { from, to, why } of without) t.diagnostic(`${`${from} → ${to}`.padEnd(50)} n/a: ${why}`)
  t.diagnostic(`${cellsByRow.size} rows, ${[...cellsByRow.values()].flat().length} exchanges, ${wrong.length} wrong`)
  assert.deepEqual(wrong, [])
})

/** Flows that never stop: direct ones to a pod of the other node with V2, and translated ones to its Service; the node that is switched has the other end. */
async function startFlows(): Promise<readonly Heartbeat[]> {
  const server = await beatServer(lab, 'node2')
  const ports = ['TCP', 'UDP'].map(protocol => ({ name: protocol.toLowerCase(), protocol, port: 7000 }))
  const spec = { ipFamilyPolicy: 'RequireDualStack', selector: { test: 'beat-server' }, ports }
  await lab.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'beats' }, spec }))
  const service = await get<{ readonly spec: { readonly clusterIPs: readonly string[] } }>(lab, 'service', 'beats')
  const flow = (name: string, target: string, protocol: Protocol) => Heartbeat.start(lab, { node: 'node1', server: target, name, protocol })
  const both = (name: string, targets: readonly string[]) =>
    targets.flatMap(target => [flow(name, target, 'tcp'), flow(name, target, 'udp')])
  return Promise.all([...both('direct', ipsOf(server)), ...both('translated', service.spec.clusterIPs)])
}

/** What the daemon says that the node forwards by, once it is that. */
const forwardsBy = (node: Node, mode: RegExp) =>
  until(
    `${node} has mode ${mode}`,
    60_000,
    async () => mode.test(/^mode: (.*)$/m.exec(await datapath(node, 'status').catch(() => ''))?.[1] ?? ''),
    250,
  )

async function restarted(work: () => Promise<unknown>): Promise<void> {
  await work()
  await until('a new daemon', 60_000, async () => (await readyPods(lab, 'app=terway-eniip', 3)).length === 3, 250)
  await forwardsBy('node1', /forward/)
}

function killTerwayd(): void {
  const daemon = lab
    .node('node1')
    .programs()
    .find(p => p.argv.includes('/usr/lib/terway/terwayd.mjs'))
  process.kill(daemon?.pid ?? assert.fail('no terwayd on node1'), 'SIGKILL')
}

async function upgrade(): Promise<void> {
  await lab.kubectl(['-n', 'kube-system', 'rollout', 'restart', 'daemonset/terway-eniip'])
  await lab.kubectl(['-n', 'kube-system', 'rollout', 'status', 'daemonset/terway-eniip', '--timeout=120s'])
}

test('no flow ends, and none loses a packet but for the moment of joining, while its node is switched, switched off, or its daemon is killed or upgraded, and no probe fails', async t => {
  await startPod(lab, 'probed', { node: 'node1', probed: true })
  const flows = await startFlows()
  const steps: readonly (readonly [string, () => Promise<unknown>, lost?: number])[] = [
    ['terwayd is killed', () => restarted(async () => killTerwayd())],
    ['terwayd is upgraded', () => restarted(upgrade)],
    [
      'terway-cli datapath off',
      async () => [await datapath('node1', 'off'), await forwardsBy('node1', /^(off|no programs)/)],
      lostByJoining,
    ],
    ['terway-cli datapath on', async () => [await datapath('node1', 'on'), await forwardsBy('node1', /forward/)], lostByJoining],
    ['label veth', async () => [await labelled('node1', 'veth'), await forwardsBy('node1', /^(off|no programs)/)], lostByJoining],
    ['label datapathv2', async () => [await labelled('node1', 'datapathv2'), await forwardsBy('node1', /forward/)], lostByJoining],
  ]
  const wrong: string[] = []
  for (const [step, work, allowed = 0] of steps) {
    const marks = await Promise.all(flows.map(flow => flow.mark()))
    await work()
    await Promise.all(flows.map(flow => flow.goesOn()))
    const seen = await Promise.all(
      flows.map(async (flow, i) => [await flow.worstSince(marks[i] ?? 0), await flow.lostSince(marks[i] ?? 0)]),
    )
    for (const [i, flow] of flows.entries()) {
      const [worst = 0, lost = 0] = seen[i] ?? []
      t.diagnostic(`${step.padEnd(24)} ${flow.client.padEnd(20)} longest wait ${worst} ms, lost ${lost}`)
      if (lost > allowed) wrong.push(`${step}: ${flow.client} waited ${worst} ms and lost ${lost}`)
    }
  }
  assert.deepEqual(wrong, [])
  const { status } = await get<Pod>(lab, 'pod', 'probed')
  assert.equal(status.containerStatuses?.[0]?.restartCount, 0)
  await readyPod(lab, 'probed')
  const unhealthy = await get<{ readonly reason: string; readonly message: string }[]>(
    lab,
    'events',
    '--field-selector',
    'involvedObject.name=probed,reason=Unhealthy',
  )
  assert.deepEqual(
    unhealthy.map(e => e.message).filter(message => !message.startsWith('Startup')),
    [],
  )
})
