// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { unaccounted } from '../../lab/agree.ts'
import { get } from '../../lab/get.ts'
import { Lab } from '../../lab/lab.ts'
import { exclusive } from '../../lab/node/config.ts'
import { ipsOf } from '../../lab/pods.ts'
import { until } from '../../lab/process.ts'
import { installTerway, readyNodes, readyPods } from '../../lab/terway.ts'
import { nodeVSwitches } from '../../lab/vpc.ts'
import type { NodeCr } from '../../src/kube/crd/node.ts'
import { rows } from './matrix-exclusive.ts'
import { Matrix } from './matrix-judge.ts'
import { balancedService, openSeed, startParties } from './matrix-lab.ts'
import type { Parties } from './matrix-run.ts'
import { agreed, endLabAfterTests } from './terway-lab.ts'
import { reached, startPod } from './terway-pods.ts'

/*
 * A node that gives each pod an ENI in a cluster with kube-proxy, and beside it one that forwards by programs: what kube-proxy translates never sees packets
 * of such pods, so programs do it there.
 */
const name = `terway-beside-${process.pid}`
const nodes = ['node1', 'node2'] as const
const limits = { 'aliyun/eni': '1' }
let lab: Lab
let parties: Parties

before(async () => {
  const machines = { nodes: 2, instanceType: 'ecs.lab.medium', nodeLabels: [{}, exclusive], vSwitchIds: nodeVSwitches }
  lab = await Lab.up({ name, stack: 'dual', seed: openSeed, ...machines })
  const eniConf = { max_pool_size: 5, min_pool_size: 2, ip_pool_sync_period: '5s' }
  await installTerway(lab, { eniConf, datapathV2: true })
  await readyPods(lab, 'app=terway-policy-exclusive', 1)
  parties = await startParties(lab, balancedService(lab), node => (node === 'node2' ? { limits } : {}))
})
endLabAfterTests(name)

/** What is translated on the exclusive node; the other one is kube-proxy's. */
const here = rows.filter(({ from, door, to, backend }) => {
  const isOurs = from.startsWith('exclusive') || from === 'outside'
  return isOurs && (door === 'node2' || to === 'pod') && door !== 'node3' && backend !== 'node3'
})

test('pods of an exclusive node, the node itself and who asks it from outside reach Services beside kube-proxy', async t => {
  assert.deepEqual(await new Matrix(parties, nodes).run(t, here, []), [])
  await agreed(lab)
})

test('an exclusive node that joins later serves pods, and takes their ENIs along when it leaves', async () => {
  const node = await lab.join('node3', 'ecs.lab.uneven', exclusive)
  await readyPods(lab, 'app=terway-eniip', 3)
  await readyNodes(lab)
  await reached(lab, ipsOf(await startPod(lab, 'on-node3', { node: 'node3', limits })))
  await agreed(lab)
  await node.leave()
  await lab.kubectl(['delete', 'pod', 'on-node3', '--force', '--ignore-not-found'])
  const records = () => get<NodeCr[]>(lab, 'nodes.network.alibabacloud.com')
  await until('its record is gone', 90_000, async () => !(await records()).some(n => n.metadata.name === 'node3'), 500)
  await until('its ENIs are gone', 60_000, async () => (await unaccounted(lab)).length === 0, 500)
  await agreed(lab)
})
