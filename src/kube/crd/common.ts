// SPDX-License-Identifier: Apache-2.0
import * as Type from 'typebox'

/** Pieces that several of Terway's kinds share. Field names and enums are Terway's wire contract. */
export const group = 'network.alibabacloud.com'
export const version = 'v1beta1'

export const text = Type.String()
export const flag = Type.Boolean()
export const int = Type.Integer()
export const count = Type.Integer({ minimum: 0 })
export const texts = Type.Array(Type.String())
export const textMap = Type.Record(Type.String(), Type.String())
/** RFC 3339, as metav1.Time prints it. */
export const time = Type.String({ format: 'date-time' })
/** Go duration text such as 5m0s. */
export const duration = Type.String()

export const eniType = Type.Enum(['Secondary', 'Trunk', 'Primary', 'Member'])
export const trafficMode = Type.Enum(['Standard', 'HighPerformance'])
export const selectionPolicy = Type.Enum(['ordered', 'random', 'most'])

export const allocationType = Type.Object({
  type: Type.Optional(Type.Enum(['Elastic', 'Fixed'], { default: 'Elastic' })),
  releaseStrategy: Type.Optional(Type.Enum(['TTL', 'Never'])),
  releaseAfter: Type.Optional(duration),
})

/** The ENI of a pod, as PodENI and NetworkInterface record it. */
export const podEniSpec = Type.Object({
  id: Type.Optional(text),
  vpcID: Type.Optional(text),
  mac: Type.Optional(text),
  zone: Type.Optional(text),
  vSwitchID: Type.Optional(text),
  resourceGroupID: Type.Optional(text),
  securityGroupIDs: Type.Optional(texts),
  attachmentOptions: Type.Optional(Type.Object({ trunk: Type.Optional(flag) })),
})

/** What is known of an attached ENI. `vid` is the VLAN id of a member ENI. */
export const eniInfo = Type.Object({
  id: Type.Optional(text),
  type: Type.Optional(eniType),
  vid: Type.Optional(int),
  status: Type.Optional(text),
  networkCardIndex: Type.Optional(int),
  vfID: Type.Optional(Type.Integer({ format: 'int32' })),
})
