// SPDX-License-Identifier: Apache-2.0
import { CloudError } from '#cloud/errors.ts'
import type { Eni } from '#cloud/port.ts'
import { isUnderway, moveInterval, resolve, type Work } from '#controller/eni/perform.ts'
import { fold } from '#controller/eni/record.ts'
import type { NodeRounds, RoundContext } from '#controller/eni/round.ts'
import { dropNic, nicsOf } from '#controller/eni/status.ts'
import { dropNodeCr } from '#controller/node/ensure.ts'
import type { Round } from '#controller/queue.ts'
import { isOwn } from '#controller/tags.ts'
import type { NodeCr, NodeStatus } from '#kube/crd/node.ts'

const poll = 3_000

/**
 * The Kubernetes node is gone. Its ENIs are detached and deleted one step per round, then the Node CR goes. No daemon is asked:
 * an ENI that leaves the instance takes its addresses out of every sandbox there, so nobody can hold what is given away.
 */
export async function leaveRound(c: RoundContext, rounds: NodeRounds, node: NodeCr): Promise<Round> {
  const { deps } = c
  const work: Work = {
    node,
    clusterId: c.options.clusterId,
    cloudFor: deps.cloudFor,
    vSwitches: c.vSwitches,
    memory: rounds.memory,
    clock: deps.clock,
    assertLeader: c.assertLeader,
  }
  const settled = await settleIntents(c, rounds, work)
  const instanceId = node.spec.nodeMetadata?.instanceID ?? ''
  const cloud = deps.cloudFor('reclaim', node.metadata.name)
  const begun = deps.clock.now()
  const exists = await cloud.instanceExists(instanceId)
  const attached = exists ? await cloud.describeEnis({ instanceId }) : []
  const known = nicsOf(settled).map(n => n.id)
  // ENIs that served pods are ours also when Terway's controller, which does not tag the cluster, made them.
  const served = new Set(nicsOf(settled).flatMap(n => (n.unschedulable === true ? [] : [n.id])))
  const others = await cloud.describeEnis({ ids: known.filter(id => !attached.some(e => e.id === id)) })
  const present = [...attached, ...others]
  const ours = present.filter(
    e => (isOwn(e.tags, c.options.clusterId) || served.has(e.id)) && (e.type === 'Secondary' || e.type === 'Trunk'),
  )
  await rounds.record.verify()
  for (const eni of ours) await step(work, eni, instanceId)
  const gone = known.filter(
    id => !ours.some(e => e.id === id) && (present.some(e => e.id === id) || rounds.memory.absenceProven(id, begun)),
  )
  const left = gone.reduce(dropNic, settled)
  c.assertLeader()
  await rounds.record.write(left)
  const unsettled = Object.keys(left.intents ?? {}).length > 0
  if (ours.length > 0 || unsettled || nicsOf(left).length > 0) return { again: poll }
  c.assertLeader()
  deps.observer.attaching(node.metadata.name, 0)
  await dropNodeCr(deps, rounds.record, rounds.record.copy ?? node)
  deps.log.info({ node: node.metadata.name, instanceId, exists }, 'node has left: its ENIs are deleted and its Node CR is released')
  return {}
}

/** An intent may have created something: it is asked for once more, so that what it made can be deleted. */
async function settleIntents(c: RoundContext, rounds: NodeRounds, work: Work): Promise<NodeStatus> {
  const status = work.node.status ?? {}
  const intents = Object.values(status.intents ?? {})
  if (intents.length === 0) return status
  c.assertLeader()
  const outcomes = await Promise.all(intents.map(i => resolve(work, i)))
  const folded = fold(status, outcomes, work.node.spec)
  await rounds.record.write(folded)
  return folded
}

async function step(work: Work, eni: Eni, instanceId: string): Promise<void> {
  const cloud = work.cloudFor('reclaim', work.node.metadata.name)
  work.assertLeader()
  try {
    const due = (what: string) => work.memory.mayTry(`${what}/${eni.id}`, work.clock.now(), moveInterval)
    if ((eni.status === 'InUse' || eni.status === 'Detaching') && due('detach'))
      await cloud.detachEni({ eniId: eni.id, instanceId: eni.instanceId ?? instanceId })
    else if ((eni.status === 'Available' || eni.status === 'Deleting') && due('delete')) await cloud.deleteEni(eni.id)
  } catch (e) {
    // Moving at the moment, or asked for twice because Describe lags: the next round sees it.
    if (!(e instanceof CloudError) || !isUnderway(e)) throw e
  }
}
