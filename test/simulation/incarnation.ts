// SPDX-License-Identifier: Apache-2.0
import type { Datapath } from '#datapath/port.ts'
import type { Kube, KubeObject, Resource, Selector, Watch, WatchHandler } from '#kube/port.ts'
import type { Clock } from '#lib/clock.ts'
import { sleepOn, type World } from './clock.ts'

/**
 * One life of a process. Everything that the process waits for goes through its gates; after `kill` nothing that it asked for
 * ever answers, no timer of it fires and no watch calls it: its promises are abandoned where they stand, at whatever await.
 * What was on its way (an API write, a cloud call) still arrives.
 */
export class Incarnation {
  alive = true
  readonly clock: Clock
  readonly #ends = new Set<() => void>()

  /** `wall`: the clock of its machine, when that is not the world's. */
  constructor(world: World, wall = () => world.wall()) {
    const after = (ms: number, fn: () => void) =>
      world.after(ms, () => {
        if (this.alive) fn()
      })
    this.clock = {
      wall,
      now: () => world.now(),
      random: () => world.random(),
      uuid: () => world.uuid(),
      after,
      sleep: (ms, signal) => sleepOn({ after }, ms, signal),
    }
  }

  kill(): void {
    this.alive = false
    for (const end of [...this.#ends]) end()
  }

  /** Calls back when the process dies; returns the unsubscriber. */
  onKill(fn: () => void): () => void {
    this.#ends.add(fn)
    return () => this.#ends.delete(fn)
  }

  gate<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) =>
      promise.then(
        value => this.alive && resolve(value),
        error => this.alive && reject(error),
      ),
    )
  }

  kube(kube: Kube): Kube {
    return {
      get: (r, name, namespace) => this.gate(kube.get(r, name, namespace)),
      list: (r, s) => this.gate(kube.list(r, s)),
      create: (r, object) => this.gate(kube.create(r, object)),
      replace: (r, object, subresource) => this.gate(kube.replace(r, object, subresource)),
      patch: (r, name, patch, namespace) => this.gate(kube.patch(r, name, patch, namespace)),
      delete: (r, name, namespace, uid) => this.gate(kube.delete(r, name, namespace, uid)),
      watch: (r, s, handler) => this.#watch(kube, r, s, handler),
      event: e => kube.event(e),
    }
  }

  datapath(d: Datapath): Datapath {
    const unsubscribe = new Set<() => void>()
    this.onKill(() => {
      for (const off of unsubscribe) off()
    })
    return {
      setNode: (node, held) => this.gate(d.setNode(node, held)),
      setup: a => this.gate(d.setup(a)),
      diff: a => this.gate(d.diff(a)),
      differing: all => this.gate(d.differing(all)),
      withdraw: a => this.gate(d.withdraw(a)),
      reap: links => this.gate(d.reap(links)),
      inventory: () => this.gate(d.inventory()),
      removeLeftovers: left => this.gate(d.removeLeftovers(left)),
      onChange: callback => {
        const off = d.onChange(callback)
        unsubscribe.add(off)
        return off
      },
      close: () => this.gate(d.close()),
    }
  }

  #watch<T extends KubeObject>(kube: Kube, r: Resource<T>, s: Selector, handler: WatchHandler<T>): Watch {
    const when =
      <A extends readonly unknown[]>(fn: ((...args: A) => void) | undefined) =>
      (...args: A) => {
        if (this.alive) fn?.(...args)
      }
    const watch = kube.watch<T>(r, s, {
      replaced: when(items => handler.replaced(items)),
      applied: when(item => handler.applied(item)),
      deleted: when(item => handler.deleted(item)),
      interrupted: when(reason => handler.interrupted?.(reason)),
    })
    const off = this.onKill(() => watch.stop())
    return {
      synced: this.gate(watch.synced),
      stop: () => {
        off()
        watch.stop()
      },
    }
  }
}
