// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { get } from '../../lab/get.ts'
import { Lab } from '../../lab/lab.ts'
import { ipsOf, type Pod } from '../../lab/pods.ts'
import { until } from '../../lab/process.ts'
import { installTerway, readyPods } from '../../lab/terway.ts'
import { nodeVSwitches } from '../../lab/vpc.ts'
import { beatServer, Heartbeat, type Protocol } from './heartbeat.ts'
import { type Node, rows, without } from './matrix.ts'
import { datapath, Matrix, requireComplete } from './matrix-judge.ts'
import { chainPortmap, openSeed, startParties } from './matrix-lab.ts'
import type { Parties } from './matrix-run.ts'
import { mtuCells } from './mtu-cells.ts'
import { endLabAfterTests } from './terway-lab.ts'
import { readyPod, startPod } from './terway-pods.ts'

/*
 * DataPath V2 beside kube-proxy, in a cluster of both families: node1 and node2 forward by programs, node3 by its host stack alone; node2 has jumbo frames. Who
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
  const instanceTypes = ['ecs.lab.medium', 'ecs.lab.jumbo']
  const machines = { nodes: 3, instanceType: 'ecs.lab.medium', instanceTypes, vSwitchIds: nodeVSwitches }
  lab = await Lab.up({ name, stack: 'dual', seed: openSeed, ...machines })
  await Promise.all(lab.nodes().map(node => labelled(node.name, node.name === 'node3' ? 'veth' : 'datapathv2')))
  await installTerway(lab, { eniConf: { max_pool_size: 5, min_pool_size: 2, ip_pool_sync_period: '5s' } })
  await chainPortmap(lab)
  parties = await startParties(lab)
})
endLabAfterTests(name)

const labelled = (node: string, value: 'veth' | 'datapathv2') => lab.kubectl(['label', 'node', node, '--overwrite', `${label}=${value}`])

const nodes = ['node1', 'node2'] as const

test('the table has every source before every door', () => requireComplete(rows, without, ['Cluster']))

test('every source reaches every door, seen with the address that it should have, on the way that it should take', async t => {
  assert.deepEqual(await new Matrix(parties, nodes).run(t, rows, without), [])
})

test('nodes of MTU 8500 and of 1500: what is too long for the other is fragmented or sent shorter, whatever is asked', async () => {
  assert.deepEqual(await mtuCells(parties, ['node1', 'node2']), [])
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
    120_000,
    async () => mode.test(/^mode: (.*)$/m.exec(await datapath(lab, node, 'status').catch(() => ''))?.[1] ?? ''),
    250,
  )

async function restarted(work: () => Promise<unknown>): Promise<void> {
  await work()
  await until('a new daemon', 120_000, async () => (await readyPods(lab, 'app=terway-eniip', 3)).length === 3, 250)
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
  await lab.kubectl(['-n', 'kube-system', 'rollout', 'status', 'daemonset/terway-eniip', '--timeout=300s'])
}

test('no flow ends, and none loses a packet but for the moment of joining, while its node is switched, switched off, or its daemon is killed or upgraded, and no probe fails', async t => {
  await startPod(lab, 'probed', { node: 'node1', probed: true })
  const flows = await startFlows()
  const steps: readonly (readonly [string, () => Promise<unknown>, lost?: number])[] = [
    ['terwayd is killed', () => restarted(async () => killTerwayd())],
    ['terwayd is upgraded', () => restarted(upgrade)],
    [
      'terway-cli datapath off',
      async () => [await datapath(lab, 'node1', 'off'), await forwardsBy('node1', /^(off|no programs)/)],
      lostByJoining,
    ],
    ['terway-cli datapath on', async () => [await datapath(lab, 'node1', 'on'), await forwardsBy('node1', /forward/)], lostByJoining],
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
