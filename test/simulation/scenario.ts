// SPDX-License-Identifier: Apache-2.0

import type { EniMode } from '#kube/crd/node.ts'
import { Cluster, type Ports, pool } from './cluster.ts'
import { Hand } from './hand.ts'
import { idleOn } from './idle.ts'
import { Violation } from './invariants.ts'
import { capacityOf } from './variant.ts'

export interface Outcome {
  readonly seed: number
  readonly operations: number
  readonly steps: number
  readonly adds: number
  readonly failedAdds: number
  readonly cloudCalls: number
}

/** One random history from one seed: a calm start, rough weather with crashes, and rest. Throws at the first violation. */
export async function history(seed: number, operations: number, ports?: Ports): Promise<Outcome> {
  const c = new Cluster(seed, ports)
  try {
    for (const name of ['node-1', 'node-2', 'node-3']) c.join(name)
    c.controlplane.start()
    c.controlplane.start()
    await c.run(60_000)
    c.rough()
    const hand = new Hand(c)
    for (let done = 0; done < operations; ) {
      if (hand.move()) done++
      await c.run(c.world.chance(0.02) ? 20_000 : c.world.int(500))
    }
    hand.repairAll()
    await c.settle()
    for (const mode of ['shared', 'exclusive'] as const) await burst(c, hand, mode)
    return {
      seed,
      operations,
      steps: c.world.steps,
      adds: c.kubelet.addsAnswered,
      failedAdds: c.kubelet.addsFailed,
      cloudCalls: c.cloud.calls,
    }
  } catch (e) {
    if (e instanceof Error) e.message = `seed ${seed} at ${c.world.now()} ms (step ${c.world.steps}): ${e.message}`
    throw e
  } finally {
    c.close()
  }
}

/** Enough for a new ENI when Describe lags by 15 s. */
const burstTime = 45_000

/** Demand is counted once: pods that come at once take what is idle, and the pool is refilled to its minimum and no further. */
async function burst(c: Cluster, hand: Hand, mode: EniMode): Promise<void> {
  const node = [...c.nodes.values()].find(n => n.mode === mode)
  if (node === undefined) return
  const before = idleOn(c, node)
  const min = mode === 'exclusive' ? 0 : pool.min
  const room = capacityOf(c.variant, mode) - before.total
  const count = Math.min(before.idle + 3, room + before.idle - min)
  if (count <= 0) return
  for (let i = 0; i < count; i++) hand.create(node.name)
  await c.run(burstTime)
  const unserved = [...c.kubelet.jobs.values()].filter(j => j.node === node && j.sandbox === undefined)
  if (unserved.length > 0)
    throw new Violation(
      `${burstTime / 1000} s after ${count} pods came to ${before.idle} idle addresses, ${unserved.length} have no network: ${c.why(node)}`,
    )
  const after = idleOn(c, node)
  const expected = Math.max(min, before.idle - count)
  if (after.idle > expected)
    throw new Violation(`${count} pods came to ${before.idle} idle addresses, and ${after.idle} are idle now instead of ${expected}`)
}
