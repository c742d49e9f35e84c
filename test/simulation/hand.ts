// SPDX-License-Identifier: Apache-2.0
import { vSwitches } from './cloud.ts'
import type { Cluster } from './cluster.ts'
import type { SimNode } from './node.ts'
import { assignExtra, deleteEni, detachEni, dropRuntime, forgetOffer, jumpClock, loseNode } from './outsiders.ts'
import { capacityOf } from './variant.ts'

/** One kind of operation. Says whether there was anything to do: only what happened counts. */
type Move = () => boolean

/** The operations of a history. Every choice is the seed's. */
export class Hand {
  readonly #c: Cluster
  #pods = 0
  #filling = true
  /** Long waves empty whole ENIs, short ones single addresses. */
  readonly #flip: number

  constructor(c: Cluster) {
    this.#c = c
    this.#flip = c.world.pick([0.01, 0.03, 0.06]) ?? 0.03
  }

  move(): boolean {
    const c = this.#c
    const { world, isolation, deletions, extras } = c
    // Waves: the pool has to grow and to shrink again and again.
    if (world.chance(this.#flip)) this.#filling = !this.#filling
    const moves: readonly (readonly [number, Move])[] = [
      [this.#filling ? 52 : 22, () => this.create()],
      [this.#filling ? 22 : 56, () => this.#delete()],
      [6 * isolation, () => this.#restartSandbox()],
      [3, () => this.#addAgain()],
      [2, () => this.#delStranger()],
      [5, () => this.#crashDaemon()],
      [4, () => this.#crashController()],
      [3 * isolation, () => this.#awayApi()],
      [4, () => this.#exhaust()],
      [1, () => this.#reboot()],
      [1, () => this.#stuck()],
      [0.5, () => this.#replaceNode()],
      [0.5, () => loseNode(c)],
      [0.5, () => dropRuntime(c)],
      [0.3, () => jumpClock(c)],
      [0.5, () => detachEni(c)],
      [0.5 * deletions, () => deleteEni(c)],
      [1, () => this.#compact()],
      [0.5 * extras, () => assignExtra(c)],
      [0.5, () => forgetOffer(c)],
    ]
    let draw = world.random() * moves.reduce((n, [weight]) => n + weight, 0)
    const chosen = moves.find(([weight]) => {
      draw -= weight
      return draw < 0
    })
    return chosen?.[1]() === true
  }

  create(on?: string): boolean {
    const { world, nodes, kubelet, variant } = this.#c
    const node = on === undefined ? world.pick([...nodes.values()]) : nodes.get(on)
    if (node === undefined) return false
    const load = [...kubelet.jobs.values()].filter(j => j.node === node).length
    // Nearly what the node can hold; where the scheduler counts ENIs, all of it.
    const spare = node.mode === 'exclusive' ? 0 : 4
    if (load >= capacityOf(variant, node.mode) - spare && on === undefined) return false
    kubelet.create(`pod-${++this.#pods}`, node)
    if (world.chance(0.03)) world.after(world.int(1000), () => this.#crashDaemon(node))
    if (world.chance(0.03)) world.after(world.int(1000), () => this.#crashController())
    return true
  }

  repairAll(): void {
    const { nodes, controlplane } = this.#c
    for (const node of nodes.values()) if (node.daemon === undefined) node.start()
    if (controlplane.lives.length === 0) controlplane.start()
  }

  #delete(): boolean {
    const { world, kubelet } = this.#c
    const job = world.pick([...kubelet.jobs.values()].filter(j => !j.deleting))
    if (job === undefined) return false
    kubelet.delete(job.name, { forgetful: world.chance(0.05), force: world.chance(0.05) })
    // Crashes are most dangerous right after a change has begun.
    if (world.chance(0.05)) world.after(world.int(700), () => this.#crashDaemon(job.node))
    return true
  }

  #restartSandbox(): boolean {
    const { world, kubelet } = this.#c
    const job = world.pick([...kubelet.jobs.values()].filter(j => j.sandbox !== undefined && !j.deleting))
    if (job === undefined) return false
    job.restart = world.chance(0.3) ? 'before-del' : 'after-del'
    return true
  }

  #addAgain(): boolean {
    const { world, kubelet } = this.#c
    const job = world.pick([...kubelet.jobs.values()].filter(j => j.sandbox !== undefined && !j.deleting))
    if (job === undefined) return false
    job.again = true
    return true
  }

  #delStranger(): boolean {
    const { world, nodes, kubelet } = this.#c
    const node = world.pick([...nodes.values()].filter(n => n.handler !== undefined))
    if (node === undefined) return false
    kubelet.delStranger(node)
    return true
  }

  #crashDaemon(node: SimNode | undefined = this.#c.world.pick([...this.#c.nodes.values()])): boolean {
    const { nodes } = this.#c
    if (node === undefined || nodes.get(node.name) !== node || node.daemon === undefined) return false
    node.crash()
    this.#startWithin(5000, node)
    return true
  }

  /** Its daemon comes up again, if the machine is still there and nobody else has started it. */
  #startWithin(ms: number, node: SimNode): void {
    const { world, nodes } = this.#c
    world.after(world.int(ms), () => {
      if (node.daemon === undefined && nodes.get(node.name) === node) node.start()
    })
  }

  #crashController(): boolean {
    const { world, controlplane } = this.#c
    if (controlplane.lives.length === 0) return false
    controlplane.kill()
    world.after(world.int(3000), () => controlplane.start())
    return true
  }

  #awayApi(): boolean {
    const { world, api, nodes } = this.#c
    const who = world.chance(0.3) ? '*' : `daemon-${world.pick([...nodes.keys()])}`
    if (world.chance(0.5)) {
      api.faults.disconnect(who === '*' ? undefined : who)
      return true
    }
    api.faults.unavailable(true, who)
    world.after(world.int(20_000), () => api.faults.unavailable(false, who))
    return true
  }

  #compact(): boolean {
    this.#c.api.faults.compact()
    return true
  }

  #exhaust(): boolean {
    const { world, cloud } = this.#c
    const id = world.pick(vSwitches) ?? vSwitches[0]
    cloud.simulator.exhaustVSwitch(id)
    world.after(world.int(60_000), () => cloud.simulator.exhaustVSwitch(id, false))
    return true
  }

  #stuck(): boolean {
    const { world, cloud } = this.#c
    const action = world.pick(['AttachNetworkInterface', 'DetachNetworkInterface']) ?? ''
    const id = cloud.simulator.addFault({ kind: 'stuck', action, count: 1 })
    world.after(world.int(60_000), () => cloud.simulator.clearFaults(id))
    return true
  }

  #reboot(): boolean {
    const { world, nodes } = this.#c
    const node = world.pick([...nodes.values()])
    if (node === undefined) return false
    node.reboot()
    this.#startWithin(10_000, node)
    return true
  }

  /** A machine goes for good and another comes, with a name of its own or the old one. */
  #replaceNode(): boolean {
    const { world, nodes } = this.#c
    const node = world.pick([...nodes.values()])
    if (node === undefined || nodes.size < 3) return false
    this.#c.leave(node, world.chance(0.5) ? 'deleted' : 'kept')
    const name = world.chance(0.3) ? node.name : `node-${4 + this.#pods}`
    world.after(world.int(20_000), () => {
      if (!nodes.has(name)) this.#c.join(name)
    })
    return true
  }
}
