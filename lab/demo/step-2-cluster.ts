// SPDX-License-Identifier: Apache-2.0
import type { BuiltImage } from '../../deploy/image/build.ts'
import { Lab } from '../lab.ts'
import { addressesOf } from '../node/config.ts'
import { printProgress } from '../progress.ts'
import { nodeVSwitches, seed } from '../vpc.ts'
import { type Options, settings } from './demo.ts'
import type { Report } from './report.ts'

/** A simulated VPC from vpc.yaml, and on its instances a control plane and nodes with real containerd and kubelet. */
export async function startCluster(report: Report, options: Options, images: readonly BuiltImage[]): Promise<Lab> {
  report.say(
    `a VPC of ${seed.vSwitches.length} vSwitches in ${new Set(seed.vSwitches.map(v => v.zone)).size} zones, two security groups, the internet (lab/vpc.yaml)`,
    `ip_stack ${options.stack}: what pods and Services have; machines always have IPv4, for control and metadata`,
    `simulated durations: attach ${seed.timing.attaching} ms, detach ${seed.timing.detaching} ms, create ${seed.timing.creating} ms, delete ${seed.timing.deleting} ms`,
  )
  if (options.proxy === 'off') report.say('no kube-proxy: Services are for the programs of Terway')
  const lab = await Lab.up({
    name: options.name,
    nodes: options.nodes,
    stack: options.stack,
    seed,
    instanceType: settings.instanceType,
    images,
    vSwitchIds: nodeVSwitches,
    ...(options.proxy === 'off' && { proxy: 'off' }),
    progress: printProgress(line => report.say(line)),
  })
  for (const { name, identity } of lab.state.nodes)
    report.say(`${name}  ${identity.instanceId}  ${identity.instanceType}  ${identity.zoneId}  ${addressesOf(identity).join(' ')}`)
  return lab
}
