// SPDX-License-Identifier: Apache-2.0
import { terwayName } from '#config/datapath-choice.ts'
import type { DatapathKind } from '#config/datapath-switch.ts'
import type { EniConf } from '#config/eni-conf.ts'
import { eniModeOf, type NodeCr, type NodeSpec } from '#kube/crd/node.ts'
import { AppError } from '#lib/errors.ts'
import { diffMerge } from '#lib/merge-patch.ts'

type EniSpec = NonNullable<NodeSpec['eni']>
type PoolSpec = NonNullable<NodeSpec['pool']>
type Part<T> = { readonly [K in keyof T]?: T[K] | undefined }

/**
 * The merge patch that makes the daemon's half of the Node CR's spec what the configuration says; undefined when it is.
 * Members that the daemon does not own stay as they are: enableIPPrefix and the prefix counts are fixed when the CR is made.
 * `primaryVSwitch` serves a zone that the configuration does not list. `datapath` is undefined until it
 * has been chosen. Throws `bad-config`.
 */
export function specPatch(node: NodeCr, conf: EniConf, primaryVSwitch: string | undefined, datapath: DatapathKind | undefined): unknown {
  const { spec } = node
  const zone = spec.nodeMetadata?.zoneID ?? ''
  const vSwitches = conf.vswitches[zone] ?? (primaryVSwitch === undefined ? undefined : [primaryVSwitch])
  if (vSwitches === undefined || vSwitches.length === 0) {
    throw new AppError('bad-config', `eni_conf: vswitches has no entry for zone ${zone}, and the vSwitch of the primary ENI is not known`)
  }
  const eni: Part<EniSpec> = {
    vSwitchOptions: vSwitches,
    securityGroupIDs: conf.securityGroups,
    vSwitchSelectPolicy: conf.vswitchSelectionPolicy,
    tag: conf.eniTags,
    tagFilter: conf.eniTagFilter,
    tagBlockList: conf.eniTagBlockList,
    resourceGroupID: conf.resourceGroupId,
    enableIPv4: conf.ipStack !== 'ipv6',
    enableIPv6: conf.ipStack !== 'ipv4',
    enableERDMA: false,
    enableTrunk: false,
  }
  const pool: Part<PoolSpec> = {
    ...poolSizes(node, conf),
    poolSyncPeriod: conf.ipPoolSyncPeriod,
    reclaim: conf.reclaim,
  }
  const wanted = { eni, pool, flavor: flavorOf(spec), datapath: datapath === undefined ? spec.datapath : { type: terwayName(datapath) } }
  const present = { eni: owned(spec.eni, eni), pool: owned(spec.pool, pool), flavor: spec.flavor, datapath: spec.datapath }
  return diffMerge(present, wanted)
}

/** ENIs are scarce: one that no pod uses is not kept, as with Terway. */
function poolSizes(node: NodeCr, conf: EniConf): Pick<Part<PoolSpec>, 'maxPoolSize' | 'minPoolSize' | 'warmUpSize'> {
  if (eniModeOf(node) === 'exclusive') return { maxPoolSize: 0, minPoolSize: 0, warmUpSize: undefined }
  return { maxPoolSize: conf.maxPoolSize, minPoolSize: conf.minPoolSize, warmUpSize: conf.ipWarmUpSize }
}

/** Every adapter but the primary is a standard secondary ENI. Undefined while the controller has not filled in the capacity. */
function flavorOf(spec: NodeSpec): NodeSpec['flavor'] {
  const adapters = spec.nodeCap?.adapters
  if (adapters === undefined) return spec.flavor
  return [{ networkInterfaceType: 'Secondary', networkInterfaceTrafficMode: 'Standard', count: Math.max(0, adapters - 1) }]
}

function owned<T extends object>(present: T | undefined, wanted: object): Partial<T> {
  return Object.fromEntries(Object.entries(present ?? {}).filter(([key]) => key in wanted)) as Partial<T>
}
