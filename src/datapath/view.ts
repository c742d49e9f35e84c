// SPDX-License-Identifier: Apache-2.0
import type { Desired, Dev, MoveWant } from '#datapath/desired.ts'
import type { Pair } from '#datapath/veth.ts'
import type { LinkState, NsState } from '#kernel/state.ts'

/** What was observed: the host, and the pod's namespace when the wanted state has one. */
export interface World {
  readonly host: NsState
  readonly pod?: NsState
}

/** No device has it. */
const noIndex = -1

/**
 * The observed state as if the devices that are still to be made, or to arrive from elsewhere, had no settings at all. Of one that arrives the MTU and
 * the alias are known: it brings them along.
 */
export class View {
  readonly #world: World
  readonly #unmade: readonly Dev[]
  readonly #arriving: readonly MoveWant[]

  constructor(world: World, { veth, moves }: Desired, pair: Pair | undefined) {
    this.#world = world
    const isUnmade = veth !== undefined && pair?.state === 'absent'
    this.#unmade = isUnmade
      ? [
          { ns: 'host', dev: veth.hostDev },
          { ns: veth.netns, dev: veth.podDev },
        ]
      : []
    this.#arriving = moves.filter(m => !isInPlace(m))
  }

  state(ns: Dev['ns']): NsState | undefined {
    return ns === 'host' ? this.#world.host : this.#world.pod
  }

  link(at: Dev): LinkState | undefined {
    const arriving = this.#arrivalOf(at)
    if (arriving !== undefined) return { ...arriving.link, name: at.dev, index: noIndex, up: false, alias: arriving.alias }
    return this.isUnmade(at) ? undefined : this.state(at.ns)?.links.find(l => l.name === at.dev)
  }

  isUnmade(at: Dev): boolean {
    return this.#unmade.some(u => isSame(u, at))
  }

  isArriving(at: Dev): boolean {
    return this.#arrivalOf(at) !== undefined
  }

  #arrivalOf(at: Dev): MoveWant | undefined {
    return this.#arriving.find(m => isSame(m, at))
  }
}

export function isInPlace({ ns, dev, from, link }: MoveWant): boolean {
  return ns === from && dev === link.name
}

function isSame(a: Dev, b: Dev): boolean {
  return a.ns === b.ns && a.dev === b.dev
}
