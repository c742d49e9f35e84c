// SPDX-License-Identifier: Apache-2.0
import { vSwitches } from './cloud.ts'
import { Cluster, type Ports, pool } from './cluster.ts'
import { idleOn } from './idle.ts'
import { Violation } from './invariants.ts'
import type { SimNode } from './node.ts'

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
    for (let i = 0; i < operations; i++) {
      hand.move()
      await c.run(c.world.chance(0.02) ? 20_000 : c.world.int(500))
    }
    hand.repairAll()
    await c.settle()
    await burst(c, hand)
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
async function burst(c: Cluster, hand: Hand): Promise<void> {
  const [node] = c.nodes.values()
  if (node === undefined) return
  const before = idleOn(c, node)
  const room = 30 - before.total
  const count = Math.min(before.idle + 3, room + before.idle - pool.min)
  if (count <= 0) return
  for (let i = 0; i < count; i++) hand.create(node.name)
  await c.run(burstTime)
  const unserved = [...c.kubelet.jobs.values()].filter(j => j.node === node && j.sandbox === undefined)
  if (unserved.length > 0)
    throw new Violation(
      `${burstTime / 1000} s after ${count} pods came to ${before.idle} idle addresses, ${unserved.length} have no network: ${c.why(node)}`,
    )
  const after = idleOn(c, node)
  const expected = Math.max(pool.min, before.idle - count)
  if (after.idle > expected)
    throw new Violation(`${count} pods came to ${before.idle} idle addresses, and ${after.idle} are idle now instead of ${expected}`)
}

/** The operations of a history. Every choice is the seed's. */
class Hand {
  readonly #c: Cluster
  #pods = 0
  #filling = true
  /** Long waves empty whole ENIs, short ones single addresses. */
  readonly #flip: number

  constructor(c: Cluster) {
    this.#c = c
    this.#flip = c.world.pick([0.01, 0.03, 0.06]) ?? 0.03
  }

  move(): void {
    const { world, isolation } = this.#c
    // Waves: the pool has to grow and to shrink again and again.
    if (world.chance(this.#flip)) this.#filling = !this.#filling
    const moves: readonly (readonly [number, () => void])[] = [
      [this.#filling ? 52 : 22, () => this.create()],
      [this.#filling ? 22 : 56, () => this.#delete()],
      [6 * isolation, () => this.#restartSandbox()],
      [5, () => this.#crashDaemon()],
      [4, () => this.#crashController()],
      [3 * isolation, () => this.#awayApi()],
      [4, () => this.#exhaust()],
      [1, () => this.#reboot()],
      [1, () => this.#stuck()],
      [0.5, () => this.#replaceNode()],
      [1, () => this.#compact()],
    ]
    let draw = world.random() * moves.reduce((n, [weight]) => n + weight, 0)
    const chosen = moves.find(([weight]) => {
      draw -= weight
      return draw < 0
    })
    chosen?.[1]()
  }

  create(on?: string): void {
    const { world, nodes, kubelet } = this.#c
    const node = on === undefined ? world.pick([...nodes.values()]) : nodes.get(on)
    if (node === undefined) return
    const load = [...kubelet.jobs.values()].filter(j => j.node === node).length
    // Nearly what the node can hold (30).
    if (load < 26 || on !== undefined) kubelet.create(`pod-${++this.#pods}`, node)
    if (world.chance(0.03)) world.after(world.int(1000), () => this.#crashDaemon(node))
    if (world.chance(0.03)) world.after(world.int(1000), () => this.#crashController())
  }

  repairAll(): void {
    const { nodes, controlplane } = this.#c
    for (const node of nodes.values()) if (node.daemon === undefined) node.start()
    if (controlplane.lives.length === 0) controlplane.start()
  }

  #delete(): void {
    const { world, kubelet } = this.#c
    const job = world.pick([...kubelet.jobs.values()].filter(j => !j.deleting))
    if (job === undefined) return
    kubelet.delete(job.name, { forgetful: world.chance(0.05), force: world.chance(0.05) })
    // Crashes are most dangerous right after a change has begun.
    if (world.chance(0.05)) world.after(world.int(700), () => this.#crashDaemon(job.node))
  }

  #restartSandbox(): void {
    const { world, kubelet } = this.#c
    const job = world.pick([...kubelet.jobs.values()])
    if (job !== undefined) job.restart = true
  }

  #crashDaemon(node: SimNode | undefined = this.#c.world.pick([...this.#c.nodes.values()])): void {
    const { world, nodes } = this.#c
    if (node === undefined || nodes.get(node.name) !== node || node.daemon === undefined) return
    node.crash()
    world.after(world.int(5000), () => {
      if (node.daemon === undefined && nodes.get(node.name) === node) node.start()
    })
  }

  #crashController(): void {
    const { world, controlplane } = this.#c
    controlplane.kill()
    world.after(world.int(3000), () => controlplane.start())
  }

  #awayApi(): void {
    const { world, api, nodes } = this.#c
    const who = world.chance(0.3) ? '*' : `daemon-${world.pick([...nodes.keys()])}`
    if (world.chance(0.5)) {
      api.faults.disconnect(who === '*' ? undefined : who)
      return
    }
    api.faults.unavailable(true, who)
    world.after(world.int(20_000), () => api.faults.unavailable(false, who))
  }

  #compact(): void {
    this.#c.api.faults.compact()
  }

  #exhaust(): void {
    const { world, cloud } = this.#c
    const id = world.pick(vSwitches) ?? vSwitches[0]
    cloud.simulator.exhaustVSwitch(id)
    world.after(world.int(60_000), () => cloud.simulator.exhaustVSwitch(id, false))
  }

  #stuck(): void {
    const { world, cloud } = this.#c
    const action = world.pick(['AttachNetworkInterface', 'DetachNetworkInterface']) ?? ''
    const id = cloud.simulator.addFault({ kind: 'stuck', action, count: 1 })
    world.after(world.int(60_000), () => cloud.simulator.clearFaults(id))
  }

  #reboot(): void {
    const { world, nodes } = this.#c
    const node = world.pick([...nodes.values()])
    if (node === undefined) return
    node.reboot()
    world.after(world.int(10_000), () => {
      if (node.daemon === undefined && nodes.get(node.name) === node) node.start()
    })
  }

  #replaceNode(): void {
    const { world, nodes } = this.#c
    const node = world.pick([...nodes.values()])
    if (node === undefined || nodes.size < 3) return
    this.#c.leave(node, world.chance(0.5) ? 'deleted' : 'kept')
    const name = `node-${4 + this.#pods}`
    world.after(world.int(20_000), () => {
      if (!nodes.has(name)) this.#c.join(name)
    })
  }
}
