// SPDX-License-Identifier: Apache-2.0
import type { ClusterView } from '#controller/cluster-view.ts'
import type { ControllerDeps, ControllerOptions } from '#controller/deps.ts'
import { offerEnis } from '#controller/node/capacity.ts'
import { makeQueue, type Queue } from '#controller/queue.ts'
import { instanceIdOf } from '#kube/reflect/node.ts'
import { messageOf } from '#lib/errors.ts'

/** What nodes offer, apart from their rounds, which may wait for the cloud: no pod is placed on a node that offers nothing. */
export function makeOffers(
  deps: Pick<ControllerDeps, 'kube' | 'clock' | 'log'>,
  options: ControllerOptions,
  view: () => ClusterView,
  assertLeader: () => void,
): Queue {
  const work = async (name: string) => {
    const [node, cr] = [view().node(name), view().nodeCr(name)]
    // The record may be that of another machine, which had the name before.
    if (node === undefined || cr === undefined || cr.spec.nodeMetadata?.instanceID !== instanceIdOf(node)) return {}
    assertLeader()
    await offerEnis(deps, node, cr)
    return {}
  }
  return makeQueue(deps.clock, work, {
    concurrency: options.nodeConcurrency,
    minFailureDelay: options.minFailureDelay,
    maxFailureDelay: options.maxFailureDelay,
    failed: (node, error, delay) =>
      deps.log.warn({ node, err: messageOf(error) }, `how many ENIs the node offers is not written, again in ${delay / 1000} s`),
  })
}
