// SPDX-License-Identifier: Apache-2.0

import type { PlanInput } from '#ipam/action.ts'
import { plan } from '#ipam/plan.ts'
import type { Kube } from '#kube/port.ts'
import { type Node, nodes } from '#kube/reflect/node.ts'
import type { Clock } from '#lib/clock.ts'
import { messageOf } from '#lib/errors.ts'
import type { Logger } from '#lib/log.ts'

/** A condition of the Kubernetes node, with the type and the two reasons that Terway uses. Times are RFC 3339 with seconds. */
export interface SufficientIp {
  readonly type: 'SufficientIP'
  readonly status: 'True' | 'False'
  readonly reason: 'SufficientIP' | 'InsufficientIP'
  readonly message: string
  readonly lastHeartbeatTime: string
  readonly lastTransitionTime: string
}

/** Without a change it is written again after this time, no sooner. Milliseconds. */
export const heartbeat = 300_000
/** After a failed write. */
const retry = 60_000

/** Why a further pod would get no address; undefined when it would: one is idle or on its way, or an ENI, present or new, has room for one. */
export function exhaustion(facts: Omit<PlanInput, 'demand'>): string | undefined {
  const demand = { waiting: 1, min: 0, max: 0, warmUpRemaining: 0, adjust: false, reclaimExtra: 0 }
  const { unmet, reasons } = plan({ ...facts, demand })
  return unmet > 0 ? reasons.join('; ') : undefined
}

/** What the node must say at `now` (wall-clock milliseconds); undefined when what it says is right and fresh. */
export function conditionDue(present: Node | undefined, lack: string | undefined, now: number): SufficientIp | undefined {
  const old = present?.status?.conditions?.find(c => c.type === 'SufficientIP')
  const status = lack === undefined ? 'True' : 'False'
  const same = old?.status === status
  const age = now - Date.parse(old?.lastHeartbeatTime ?? '')
  // A heartbeat from the future comes of a clock that was put right: it must not silence us.
  if (same && age >= 0 && age < heartbeat) return undefined
  const at = `${new Date(now).toISOString().slice(0, 19)}Z`
  return {
    type: 'SufficientIP',
    status,
    reason: lack === undefined ? 'SufficientIP' : 'InsufficientIP',
    message: lack ?? 'a further pod can get an address',
    lastHeartbeatTime: at,
    lastTransitionTime: (same ? old.lastTransitionTime : undefined) ?? at,
  }
}

/** Writes the condition of one node when it is due. Best effort: no pod waits for it, so a failure is logged and tried again later. */
export class NodeCondition {
  readonly #deps: { readonly kube: Kube; readonly clock: Clock; readonly log: Logger }
  readonly #name: string
  /** What our last write gave: the watch may not have it yet. */
  #written: Node | undefined
  #notBefore = Number.NEGATIVE_INFINITY

  constructor(deps: { readonly kube: Kube; readonly clock: Clock; readonly log: Logger }, name: string) {
    this.#deps = deps
    this.#name = name
  }

  /** `watched`: the node as the watch has it. */
  async tell(watched: Node | undefined, lack: string | undefined): Promise<void> {
    const { kube, clock, log } = this.#deps
    const present = this.#written?.metadata.uid === watched?.metadata.uid ? newer(this.#written, watched) : watched
    const condition = conditionDue(present, lack, clock.wall())
    if (watched === undefined || condition === undefined || clock.now() < this.#notBefore) return
    try {
      const body = { status: { conditions: [condition] } }
      this.#written = await kube.patch(nodes, this.#name, { type: 'strategic', subresource: 'status', body })
    } catch (e) {
      this.#notBefore = clock.now() + retry
      log.warn(
        { node: this.#name, err: messageOf(e) },
        `condition SufficientIP=${condition.status} is not written, again in ${retry / 1000} s`,
      )
    }
  }
}

/** By the heartbeat of our condition, which nobody else writes. */
function newer(written: Node | undefined, watched: Node | undefined): Node | undefined {
  const beat = (n: Node | undefined) =>
    Date.parse(n?.status?.conditions?.find(c => c.type === 'SufficientIP')?.lastHeartbeatTime ?? '') || 0
  return beat(written) >= beat(watched) ? written : watched
}
