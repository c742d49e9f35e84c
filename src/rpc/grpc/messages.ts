// SPDX-License-Identifier: Apache-2.0

// The messages of terway.proto as JavaScript values. Read with defaults, so every field is there except an absent message
// (null) and an absent `optional` field; what is sent may leave fields out.

export const IPType = { TypeVPCIP: 0, TypeVPCENI: 1, TypeENIMultiIP: 2 } as const
export const EventTarget = { Node: 0, Pod: 1 } as const
export const EventType = { Normal: 0, Warning: 1 } as const
export const InfoError = { NoErr: 0, CRDNotFound: 1 } as const

export interface IPSet {
  readonly IPv4?: string
  readonly IPv6?: string
}

export interface PodRef {
  readonly K8sPodName: string
  readonly K8sPodNamespace: string
  readonly K8sPodInfraContainerId: string
}

export interface AllocIPRequest extends PodRef {
  readonly Netns: string
  readonly IfName: string
}

export interface NetConf {
  readonly BasicInfo: { readonly PodIP: IPSet; readonly PodCIDR: IPSet; readonly GatewayIP: IPSet; readonly ServiceCIDR: IPSet }
  readonly ENIInfo: {
    readonly MAC: string
    readonly Trunk?: boolean
    readonly Vid?: number
    readonly GatewayIP: IPSet
    readonly eRDMA?: boolean
    readonly VfId?: number
  }
  readonly Pod: { readonly Ingress?: number; readonly Egress?: number; readonly NetworkPriority?: string }
  readonly IfName: string
  readonly ExtraRoutes: readonly { readonly Dst: string }[]
  readonly DefaultRoute: boolean
}

export interface AllocIPReply {
  readonly Success: boolean
  readonly IPType: number
  readonly IPv4: boolean
  readonly IPv6: boolean
  readonly NetConfs: readonly NetConf[]
}

export interface ReleaseIPRequest extends PodRef {
  readonly IPType?: number
  readonly IPv4Addr?: IPSet | null
  readonly MacAddr?: string
  readonly Reason?: string
}

export interface ReleaseIPReply {
  readonly Success: boolean
}

export type GetInfoRequest = PodRef

export interface GetInfoReply extends AllocIPReply {
  readonly Error: number
}

export interface EventRequest {
  readonly EventTarget: number
  readonly K8sPodName: string
  readonly K8sPodNamespace: string
  readonly EventType: number
  readonly Reason: string
  readonly Message: string
}

export interface EventReply {
  readonly Succeed: boolean
  readonly Error: string
}

export type Placeholder = Readonly<Record<string, never>>

export interface TypesReply {
  readonly TypeNames: readonly string[]
}

export interface NamesReply {
  readonly ResourceNames: readonly string[]
}

export interface TypeRequest {
  readonly Name: string
}

export interface TypeNameRequest {
  readonly Type: string
  readonly Name: string
}

export interface KeyValue {
  readonly Key: string
  readonly Value: string
}

export interface ConfigReply {
  readonly Config: readonly KeyValue[]
}

export interface TraceReply {
  readonly Trace: readonly KeyValue[]
}

export interface ExecuteRequest extends TypeNameRequest {
  readonly Command: string
  readonly Args: readonly string[]
}

export interface ExecuteReply {
  readonly Message: string
}

export interface PrefixInfo {
  readonly prefix: string
  readonly status: string
  readonly total: number
  readonly used: number
  readonly available: number
  readonly allocations: readonly { readonly ip: string; readonly pod_id: string }[]
}

export interface ResourceMapping {
  readonly NetworkInterfaceID: string
  readonly MAC: string
  readonly Type: string
  readonly AllocInhibitExpireAt: string
  readonly Status: string
  readonly Info: readonly string[]
  readonly ipv4_prefixes: readonly PrefixInfo[]
  readonly ipv6_prefixes: readonly PrefixInfo[]
}

export interface ResourceDBEntry {
  readonly pod_name: string
  readonly pod_namespace: string
  readonly eni_id: string
  readonly eni_mac: string
  readonly ipv4: string
  readonly ipv6: string
  readonly type: string
}

export interface MappingReply {
  readonly info: readonly ResourceMapping[]
  readonly resource_db: readonly ResourceDBEntry[]
}
