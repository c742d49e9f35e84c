// SPDX-License-Identifier: Apache-2.0
import { isCloudError } from '#cloud/errors.ts'
import { type ClusterView, watchCluster } from '#controller/cluster-view.ts'
import type { ControllerDeps, ControllerOptions } from '#controller/deps.ts'
import { aboutNode } from '#controller/eni/events.ts'
import { leaveRound } from '#controller/eni/leave.ts'
import { NodeRounds, type RoundContext } from '#controller/eni/round.ts'
import { usualTimes } from '#controller/eni/usual.ts'
import { collectLeaks } from '#controller/gc/collect.ts'
import { annotateCapacity, ensureNodeCr } from '#controller/node/ensure.ts'
import { identityOf } from '#controller/node/identity.ts'
import { InstanceTypes } from '#controller/node/limits.ts'
import { makeOffers } from '#controller/node/offers.ts'
import { makeQueue, type Round } from '#controller/queue.ts'
import { defaultVSwitchCache, makeVSwitchCache } from '#controller/vswitch/cache.ts'
import type { NodeCr } from '#kube/crd/node.ts'
import type { Leadership } from '#kube/elect.ts'
import { nodes } from '#kube/reflect/node.ts'
import { isAppError, messageOf } from '#lib/errors.ts'

export interface Running {
  /** Resolves when the watches have delivered the cluster. */
  readonly ready: Promise<void>
  stop(): void
}

/**
 * Everything the leader does, until `stop`. Call it once leadership is certain: nothing here waits for it, but every write and
 * every cloud call that changes something asserts it.
 */
export function runController(
  deps: ControllerDeps,
  options: ControllerOptions,
  leader: Pick<Leadership, 'assertLeader'>,
  vSwitchCache = defaultVSwitchCache,
): Running {
  const assertLeader = () => leader.assertLeader()
  const vSwitches = makeVSwitchCache(deps.cloudFor('pod', 'vSwitch cache'), deps.clock, vSwitchCache)
  const types = new InstanceTypes(deps.cloudFor('pod', 'instance types'), deps.clock)
  const rounds = new Map<string, NodeRounds>()
  const leavingSince = new Map<string, number>()
  /** Nodes that are not ours, with the reason that was logged. */
  const unserved = new Map<string, string>()
  let stopped = false
  let synced = false

  const queue = makeQueue(deps.clock, name => timed(deps, name, () => work(name)), {
    concurrency: options.nodeConcurrency,
    minFailureDelay: options.minFailureDelay,
    maxFailureDelay: options.maxFailureDelay,
    failed: (node, error, delay) => tellFailure(deps, view, node, error, delay),
  })
  const offers = makeOffers(deps, options, () => view, assertLeader)
  const wake = (name: string) => {
    queue.wake(name)
    offers.wake(name)
  }
  const view = watchCluster(
    deps.kube,
    name => {
      if (!synced) return
      if (view.node(name) !== undefined) returned(name)
      wake(name)
    },
    (object, node, reason) => tellUnreadable(deps, view, object, node, reason),
  )
  const context: RoundContext = { deps, options, view, vSwitches, usual: usualTimes(), assertLeader }

  const roundsOf = (name: string) => {
    let found = rounds.get(name)
    if (found === undefined) {
      found = new NodeRounds(name, context)
      rounds.set(name, found)
    }
    return found
  }

  /** The grace starts anew, also when the node is gone again before its next round; and while it was away its ENIs may have been taken. */
  const returned = (name: string) => {
    if (leavingSince.delete(name)) roundsOf(name).sync()
  }

  const work = async (name: string): Promise<Round> => {
    const r = roundsOf(name)
    const node = view.node(name)
    const cr = await r.record.load(view.nodeCr(name))
    if (node === undefined) {
      if (cr !== undefined) return leave(name, r, cr)
      rounds.delete(name)
      unserved.delete(name)
      return {}
    }
    const identity = identityOf(node, options.nodeLabelWhiteList)
    if (!identity.served) {
      if (unserved.get(name) !== identity.reason) deps.log.info({ node: name }, `node ${name} is not served: ${identity.reason}`)
      unserved.set(name, identity.reason)
      return {}
    }
    unserved.delete(name)
    assertLeader()
    if (cr !== undefined && isOfAnother(cr, identity.metadata.instanceID)) return retire(name, r, cr)
    if ((await ensureNodeCr(deps, types, node, identity, cr)) !== cr) r.record.forget()
    const current = await r.record.load(undefined)
    if (current === undefined || !isComplete(current)) return {}
    await annotateCapacity(deps, node, current)
    return r.run(current)
  }

  /** A node that comes back within the grace keeps its ENIs; one whose instance is gone, or that stays away, loses them. */
  const leave = async (name: string, r: NodeRounds, cr: NodeCr): Promise<Round> => {
    const now = deps.clock.now()
    const since = leavingSince.get(name) ?? now
    leavingSince.set(name, since)
    const rest = since + options.leaveGrace - now
    if (rest > 0 && (await deps.cloudFor('reclaim', name).instanceExists(cr.spec.nodeMetadata?.instanceID ?? ''))) return { again: rest }
    // The watch may lag, or not understand the object: what follows cannot be undone.
    if ((await deps.kube.get(nodes, name)) !== undefined) return { again: options.minFailureDelay }
    return leaveRound(context, r, cr)
  }

  /** The node's name belongs to another instance now: what the old one has left is given back first, then the node gets a record of its own. */
  const retire = async (name: string, r: NodeRounds, cr: NodeCr): Promise<Round> => {
    const round = await leaveRound(context, r, cr)
    if (round.again !== undefined) return round
    rounds.delete(name)
    return { again: 0 }
  }

  const collect = async () => {
    while (!stopped) {
      try {
        for (const name of await collectLeaks(deps, options, assertLeader)) {
          roundsOf(name).sync()
          queue.wake(name)
        }
      } catch (e) {
        deps.log.warn({ err: messageOf(e) }, 'leak collection failed')
      }
      // Up to 1.1 periods more, so that clusters in one account do not move in step.
      await deps.clock.sleep(options.leakPeriod * (1 + 1.1 * deps.clock.random()))
    }
  }

  const ready = view.synced.then(() => {
    if (stopped) return
    synced = true
    for (const name of view.names()) wake(name)
    collect()
  })
  return {
    ready,
    stop: () => {
      stopped = true
      queue.stop()
      offers.stop()
      view.stop()
    },
  }
}

function tellFailure(deps: ControllerDeps, view: ClusterView, node: string, error: unknown, delay: number): void {
  deps.log.warn({ node, err: messageOf(error) }, `round failed, again in ${delay / 1000} s`)
  if (!isCloudError(error) && !isUnknownType(error)) return
  const about = aboutNode(view.node(node), node)
  deps.kube.event({ about, type: 'Warning', reason: 'SyncOpenAPIFailed', action: 'SyncOpenAPI', message: messageOf(error) })
}

function tellUnreadable(deps: ControllerDeps, view: ClusterView, object: string, node: string | undefined, reason: unknown): void {
  deps.log.error({ object, err: messageOf(reason) }, `${object} cannot be read; what was known of it stays in force`)
  if (node === undefined) return
  const about = aboutNode(view.node(node), node)
  deps.kube.event({ about, type: 'Warning', reason: 'ResourceInvalid', action: 'Config', message: messageOf(reason) })
}

function isOfAnother(cr: NodeCr, instanceId: string): boolean {
  const recorded = cr.spec.nodeMetadata?.instanceID
  return recorded !== undefined && recorded !== instanceId
}

/** A fault of the cluster that people must see; anything else that fails a round ends by itself. */
function isUnknownType(error: unknown): boolean {
  return isAppError(error) && error.code === 'unknown-instance-type'
}

/** The daemon has filled its part of the spec. Prefix mode is not served: its Node CRs are left alone. */
function isComplete(cr: NodeCr): boolean {
  const { eni, pool, nodeCap, nodeMetadata } = cr.spec
  return eni !== undefined && pool !== undefined && nodeCap !== undefined && nodeMetadata !== undefined && eni.enableIPPrefix !== true
}

async function timed(deps: ControllerDeps, node: string, fn: () => Promise<Round>): Promise<Round> {
  const start = deps.clock.now()
  try {
    return await fn()
  } finally {
    deps.observer.reconciled('round', node, deps.clock.now() - start)
  }
}
