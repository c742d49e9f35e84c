// SPDX-License-Identifier: Apache-2.0
import { CloudError } from '#cloud/errors.ts'
import type { ControllerDeps, ControllerOptions } from '#controller/deps.ts'
import { findLeaks } from '#controller/gc/leaks.ts'
import { ownTags } from '#controller/tags.ts'
import { nodeCrs } from '#kube/crd/node.ts'
import { instanceIdOf, nodes } from '#kube/reflect/node.ts'

/** One look for ENIs that nothing accounts for. Answers the nodes that must compare themselves with the cloud. */
export async function collectLeaks(deps: ControllerDeps, options: ControllerOptions, assertLeader: () => void): Promise<readonly string[]> {
  const cloud = deps.cloudFor('reclaim', 'leak collection')
  // The order is what makes it safe: first the cloud, then, read from the API server itself, the records.
  const enis = await cloud.describeEnis({ vpcId: options.vpcId, tags: ownTags(options.clusterId) })
  const [crs, k8sNodes] = await Promise.all([deps.kube.list(nodeCrs), deps.kube.list(nodes)])
  const instances = new Set(k8sNodes.flatMap(n => instanceIdOf(n) ?? []))
  const leaks = findLeaks({ enis, crs, instances, clusterId: options.clusterId, now: deps.clock.wall(), age: options.leakAge })
  const attempt = async (what: string, eniId: string, call: () => Promise<void>) => {
    assertLeader()
    try {
      await call()
      deps.log.warn({ eni: eniId }, `ENI ${eniId} is accounted for by no node: ${what}`)
    } catch (e) {
      if (!(e instanceof CloudError)) throw e
      deps.log.warn({ eni: eniId, code: e.code, requestId: e.requestId }, e.message)
    }
  }
  for (const e of leaks.toDelete) await attempt('deleted', e.id, () => cloud.deleteEni(e.id))
  for (const e of leaks.toDetach) await attempt('detached', e.id, () => cloud.detachEni({ eniId: e.id, instanceId: e.instanceId ?? '' }))
  return [...new Set(leaks.unrecorded.map(u => u.node))]
}
