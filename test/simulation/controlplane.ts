// SPDX-License-Identifier: Apache-2.0
import { governed } from '#cloud/execute.ts'
import type { Cloud } from '#cloud/port.ts'
import { makeThrottle } from '#cloud/throttle.ts'
import { type ControllerOptions, type Decisions, decisions, defaultControllerOptions, noObserver } from '#controller/deps.ts'
import { runController } from '#controller/run.ts'
import { Election } from '#kube/elect.ts'
import type { Kube } from '#kube/port.ts'
import { silent } from '#lib/log.ts'
import type { KubeModel } from '../support/kube-model.ts'
import type { World } from './clock.ts'
import { type SimCloud, vpcId } from './cloud.ts'
import { Incarnation } from './incarnation.ts'

export const clusterId = 'sim'

/** What a mutant may put between the controller and its ports, or in the place of a decision. */
export interface ControllerPorts {
  readonly kube: (kube: Kube) => Kube
  readonly cloud: (cloud: Cloud) => Cloud
  readonly decisions: Partial<Decisions>
  readonly options: Partial<ControllerOptions>
}

/** Replicas of the controlplane under leader election; each may die at any await, and another takes over. */
export class Controlplane {
  readonly lives: Incarnation[] = []
  /** How far the wall clock of its machines is ahead of everybody else's, in milliseconds. */
  ahead = 0
  readonly #world: World
  readonly #api: KubeModel
  readonly #cloud: SimCloud
  readonly #ports: ControllerPorts
  #started = 0

  constructor(o: { world: World; api: KubeModel; cloud: SimCloud; ports: ControllerPorts }) {
    this.#world = o.world
    this.#api = o.api
    this.#cloud = o.cloud
    this.#ports = o.ports
  }

  start(): void {
    const life = new Incarnation(this.#world, () => this.#world.wall() + this.ahead)
    this.lives.push(life)
    const hostname = `cp-${++this.#started}`
    const kube = life.kube(this.#ports.kube(this.#api.client(hostname)))
    const { clock } = life
    const throttle = makeThrottle(clock)
    const observer = { called: () => undefined, waited: () => undefined }
    const cloudFor = governed(gatedCloud(life, this.#ports.cloud(this.#cloud.cloud)), { clock, throttle, observer })
    const options: ControllerOptions = { ...defaultControllerOptions, clusterId, vpcId, syncPeriod: 30_000, ...this.#ports.options }
    const deps = {
      kube,
      cloudFor,
      throttle,
      clock,
      log: silent,
      observer: noObserver,
      decisions: { ...decisions, ...this.#ports.decisions },
    }
    const election = new Election({ kube, clock, namespace: 'kube-system', name: 'terway-controlplane', hostname })
    const stop = new AbortController()
    election
      .run(async leadership => {
        const running = runController(deps, options, leadership)
        await new Promise<void>(resolve => leadership.signal.addEventListener('abort', () => resolve(), { once: true }))
        running.stop()
      }, stop.signal)
      .then(() => {
        // Leadership was lost: a real process exits and is started again.
        if (!life.alive) return
        this.kill(life)
        this.#world.after(1000, () => this.start())
      })
      .catch(() => undefined)
  }

  kill(life: Incarnation | undefined = this.#world.pick(this.lives)): void {
    if (life === undefined) return
    life.kill()
    this.lives.splice(this.lives.indexOf(life), 1)
  }
}

function gatedCloud(life: Incarnation, cloud: Cloud): Cloud {
  return {
    createEni: r => life.gate(cloud.createEni(r)),
    attachEni: r => life.gate(cloud.attachEni(r)),
    detachEni: r => life.gate(cloud.detachEni(r)),
    deleteEni: id => life.gate(cloud.deleteEni(id)),
    describeEnis: r => life.gate(cloud.describeEnis(r)),
    assignIpv4: r => life.gate(cloud.assignIpv4(r)),
    assignIpv6: r => life.gate(cloud.assignIpv6(r)),
    unassignIpv4: r => life.gate(cloud.unassignIpv4(r)),
    unassignIpv6: r => life.gate(cloud.unassignIpv6(r)),
    describeVSwitch: id => life.gate(cloud.describeVSwitch(id)),
    describeInstanceTypes: ids => life.gate(cloud.describeInstanceTypes(ids)),
    instanceExists: id => life.gate(cloud.instanceExists(id)),
  }
}
