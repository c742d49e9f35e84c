// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { Lab } from '../../lab/lab.ts'
import { exclusive } from '../../lab/node/config.ts'
import { installTerway, readyPods } from '../../lab/terway.ts'
import { nodeVSwitches } from '../../lab/vpc.ts'
import { rows } from './matrix-exclusive.ts'
import { Matrix } from './matrix-judge.ts'
import { balancedService, openSeed, startParties } from './matrix-lab.ts'
import type { Parties } from './matrix-run.ts'
import { agreed, endLabAfterTests } from './terway-lab.ts'

/*
 * A node that gives each pod an ENI in a cluster with kube-proxy, and beside it one that forwards by programs: what kube-proxy translates never sees packets
 * of such pods, so programs do it there.
 */
const name = `terway-beside-${process.pid}`
const nodes = ['node1', 'node2'] as const
let lab: Lab
let parties: Parties

before(async () => {
  const machines = { nodes: 2, instanceType: 'ecs.lab.medium', nodeLabels: [{}, exclusive], vSwitchIds: nodeVSwitches }
  lab = await Lab.up({ name, stack: 'dual', seed: openSeed, ...machines })
  const eniConf = { max_pool_size: 5, min_pool_size: 2, ip_pool_sync_period: '5s' }
  await installTerway(lab, { eniConf, datapathV2: true })
  await readyPods(lab, 'app=terway-policy-exclusive', 1)
  parties = await startParties(lab, balancedService(lab), node => (node === 'node2' ? { limits: { 'aliyun/eni': '1' } } : {}))
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
