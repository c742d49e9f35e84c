// SPDX-License-Identifier: Apache-2.0
import * as Type from 'typebox'
import type { KubeObject } from '../port.ts'
import { resource } from '../resource.ts'
import type { ValueOf } from '../shape.ts'
import { count, duration, eniType, flag, group, int, selectionPolicy, text, textMap, texts, time, trafficMode, version } from './common.ts'

/**
 * Node: the ENIs and addresses of one Kubernetes node. Spec: metadata and capacity by the controller, eni/pool/flavor/datapath
 * by the daemon. Status: by the controller. The life of an address is in docs/addresses.md; fields marked "ours" are additions
 * to Terway's CRD, optional, ignored by Terway.
 */
const nodeMetadata = Type.Object({ regionID: text, instanceType: text, instanceID: text, zoneID: text })

const nodeCap = Type.Object({
  adapters: Type.Optional(int),
  eriQuantity: Type.Optional(int),
  totalAdapters: Type.Optional(int),
  ipv4PerAdapter: Type.Optional(int),
  ipv6PerAdapter: Type.Optional(int),
  memberAdapterLimit: Type.Optional(int),
  maxMemberAdapterLimit: Type.Optional(int),
  instanceBandwidthRx: Type.Optional(int),
  instanceBandwidthTx: Type.Optional(int),
  networkCards: Type.Optional(Type.Array(Type.Object({ index: Type.Optional(int) }))),
  networkCardsCount: Type.Optional(int),
})

const eniConfig = Type.Object({
  vSwitchOptions: texts,
  securityGroupIDs: texts,
  vSwitchSelectPolicy: selectionPolicy,
  tag: Type.Optional(textMap),
  tagFilter: Type.Optional(textMap),
  tagBlockList: Type.Optional(Type.Array(Type.Object({ key: text, value: text }))),
  resourceGroupID: Type.Optional(text),
  enableIPv4: Type.Optional(flag),
  enableIPv6: Type.Optional(flag),
  enableERDMA: Type.Optional(flag),
  enableTrunk: Type.Optional(flag),
  enableIPPrefix: Type.Optional(flag),
  ipv4PrefixCount: Type.Optional(int),
  ipv6PrefixCount: Type.Optional(int),
})

const pool = Type.Object({
  maxPoolSize: Type.Optional(count),
  minPoolSize: Type.Optional(count),
  warmUpSize: Type.Optional(count),
  poolSyncPeriod: Type.Optional(duration),
  reclaim: Type.Optional(
    Type.Object({
      after: Type.Optional(duration),
      interval: Type.Optional(duration),
      batchSize: Type.Optional(int),
      jitterFactor: Type.Optional(text),
    }),
  ),
})

const flavor = Type.Object({ networkInterfaceType: eniType, networkInterfaceTrafficMode: trafficMode, count })

const nicIp = Type.Object({
  ip: text,
  primary: flag,
  status: Type.Enum(['Valid', 'Invalid', 'Deleting']),
  podID: Type.Optional(Type.String({ description: 'namespace/name of the pod that holds the address' })),
  podUID: Type.Optional(text),
  ipName: Type.Optional(text),
  releaseNonce: Type.Optional(
    Type.String({ description: 'with Deleting: the node must answer this nonce before the address is unassigned' }),
  ),
})

const nicPrefix = Type.Object({
  prefix: text,
  status: Type.Enum(['Valid', 'Frozen', 'Invalid', 'Deleting']),
  frozenExpireAt: Type.Optional(time),
})

const nic = Type.Object({
  id: text,
  status: Type.String({ description: 'InUse, Attaching, Detaching, Deleting, Available, or a state of EFLO' }),
  macAddress: Type.Optional(text),
  vSwitchID: Type.Optional(text),
  securityGroupIDs: Type.Optional(texts),
  primaryIPAddress: Type.Optional(text),
  networkInterfaceTrafficMode: Type.Optional(trafficMode),
  networkInterfaceType: Type.Optional(eniType),
  ipv4CIDR: Type.Optional(Type.String({ description: 'CIDR of the vSwitch' })),
  ipv6CIDR: Type.Optional(text),
  unschedulable: Type.Optional(flag),
  ipv4: Type.Optional(Type.Record(Type.String(), nicIp)),
  ipv6: Type.Optional(Type.Record(Type.String(), nicIp)),
  ipv4Prefix: Type.Optional(Type.Array(nicPrefix)),
  ipv6Prefix: Type.Optional(Type.Array(nicPrefix)),
  conditions: Type.Optional(Type.Record(Type.String(), Type.Object({ observedTime: Type.Optional(time), message: Type.Optional(text) }))),
})

const intent = Type.Object({
  token: text,
  kind: Type.Enum(['create-eni', 'assign-ips']),
  eniID: Type.Optional(text),
  eniType: Type.Optional(eniType),
  vSwitchID: text,
  ipv4Count: count,
  ipv6Count: count,
  since: time,
})

export const nodeSpec = Type.Object({
  nodeMetadata: Type.Optional(nodeMetadata),
  nodeCap: Type.Optional(nodeCap),
  datapath: Type.Optional(Type.Object({ type: Type.Optional(Type.Enum(['veth', 'ipvlan', 'datapathv2'])) })),
  eni: Type.Optional(eniConfig),
  pool: Type.Optional(pool),
  flavor: Type.Optional(Type.Array(flavor)),
})

export const nodeStatus = Type.Object({
  nextSyncOpenAPITime: Type.Optional(time),
  lastSyncOpenAPITime: Type.Optional(time),
  lastModifiedTime: Type.Optional(time),
  nextIdleIPReclaimTime: Type.Optional(time),
  warmUpTarget: Type.Optional(int),
  warmUpAllocatedCount: Type.Optional(int),
  warmUpCompleted: Type.Optional(flag),
  networkInterfaces: Type.Optional(Type.Record(Type.String(), nic)),
  intents: Type.Optional(Type.Record(Type.String(), intent, { description: 'cloud calls that may have been made, by idempotency token' })),
})

export type NodeSpec = ValueOf<typeof nodeSpec>
export type NodeStatus = ValueOf<typeof nodeStatus>
export type Nic = ValueOf<typeof nic>
export type NicIp = ValueOf<typeof nicIp>
export type NicPrefix = ValueOf<typeof nicPrefix>
export type Intent = ValueOf<typeof intent>
export type Flavor = ValueOf<typeof flavor>

/** `nodes.network.alibabacloud.com`, cluster-scoped, named like the Kubernetes node. */
export interface NodeCr extends KubeObject {
  readonly spec: NodeSpec
  readonly status?: NodeStatus
}

/** On the Kubernetes node, where people set it before the node joins, and on its Node CR, where it never changes. */
export const eniModeLabel = 'k8s.aliyun.com/exclusive-mode-eni-type'

/** Whether the pods of a node share its ENIs, or have one each. */
export type EniMode = 'shared' | 'exclusive'

export function eniModeIn(labels: Readonly<Record<string, string>> | undefined): EniMode {
  return labels?.[eniModeLabel]?.toLowerCase() === 'enionly' ? 'exclusive' : 'shared'
}

export function eniModeOf(node: NodeCr): EniMode {
  return eniModeIn(node.metadata.labels)
}

export const nodeCrs = resource<NodeCr>({
  group,
  version,
  plural: 'nodes',
  kind: 'Node',
  namespaced: false,
  unknown: 'keep',
  body: Type.Object({ spec: nodeSpec, status: Type.Optional(nodeStatus) }),
  upgrade: raw => ({ ...raw, spec: raw.spec ?? {} }),
})
