// SPDX-License-Identifier: Apache-2.0

/** Whom a gRPC call is about: names as Kubernetes has them; `containerId` is the sandbox ("infra container"). */
export interface SandboxRef {
  readonly namespace: string
  readonly name: string
  readonly containerId: string
}

export interface SandboxFamily {
  readonly address: string
  /** The vSwitch's CIDR and gateway. */
  readonly subnet: string
  readonly gateway: string
}

/** One interface of a sandbox. An attachment of the datapath is one, structurally. */
export interface SandboxInterface {
  readonly ifName: string
  readonly v4?: SandboxFamily
  readonly v6?: SandboxFamily
  readonly eni: { readonly eniId: string; readonly mac: string; readonly gateway4?: string; readonly gateway6?: string }
  readonly defaultRoute: boolean
  readonly extraRoutes: readonly string[]
  readonly ingressBytesPerSecond?: number
  readonly egressBytesPerSecond?: number
}

export interface SandboxNetwork {
  readonly interfaces: readonly SandboxInterface[]
  /** The sandbox has the ENI for itself. */
  readonly exclusive?: boolean
  readonly serviceCidr4?: string
  readonly serviceCidr6?: string
  /** guaranteed | burstable | best-effort, from the pod's annotation. */
  readonly networkPriority?: string
}

/** Codes that a Go plugin knows how to read; rendered as `code: X, msg: Y` in gRPC status Unknown (Terway's wire contract). */
export type LeaseErrorCode =
  | 'InternalError'
  | 'InvalidArgs'
  | 'InvalidDataType'
  | 'PodIsProcessing'
  | 'ResourceInvalid'
  | 'OpenAPIErr'
  | 'PodENINotReady'
  | 'IPNotAllocated'
  | 'OutIPOfSync'

/** A refusal is an expected outcome, so it is returned, with what is missing in `message`; anything thrown becomes InternalError. */
export type LeaseResult<T> = T | { readonly refused: LeaseErrorCode; readonly message: string }

/**
 * What the gRPC front needs from the daemon to lease addresses for a plugin that does the kernel work itself. Leases made
 * here have `owner: 'grpc'`: repair and resync never touch the kernel state of such pods.
 */
export interface LeaseService {
  /** A second call for the same sandbox returns the same lease. */
  alloc(r: SandboxRef & { readonly netns: string; readonly ifName: string }): Promise<LeaseResult<SandboxNetwork>>
  /** Succeeds for an unknown sandbox, and never frees the lease of another container id. The plugin has already removed its devices. */
  release(r: SandboxRef): Promise<LeaseResult<{ readonly released: boolean }>>
  /** Undefined when the sandbox holds no lease. */
  info(r: SandboxRef): Promise<LeaseResult<SandboxNetwork> | undefined>
  /** Best effort, like every event. */
  recordEvent(e: {
    readonly target: 'node' | 'pod'
    readonly namespace: string
    readonly name: string
    readonly type: 'Normal' | 'Warning'
    readonly reason: string
    readonly message: string
  }): Promise<void>
}

export interface EniRow {
  readonly id: string
  readonly mac: string
  readonly type: string
  readonly status: string
  readonly addresses: readonly {
    readonly ip: string
    readonly primary: boolean
    /** As Node.status says it: Valid, Invalid, Deleting. */
    readonly status: string
    /** The daemon's own view: idle, pending, held, dying, cooling, barred. */
    readonly use: string
    /** namespace/name while leased. */
    readonly podId?: string
  }[]
  /** Conditions of Node.status, `InsufficientIP: vsw-… has no free address`. */
  readonly conditions: readonly string[]
}

export interface LeaseRow {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly containerId: string
  readonly state: 'pending' | 'held' | 'dying'
  readonly owner: 'cni' | 'grpc'
  readonly eniId: string
  readonly eniMac: string
  /** The pod has the ENI for itself. */
  readonly exclusive?: true
  readonly ipv4?: string
  readonly ipv6?: string
  /** Wall-clock milliseconds. */
  readonly since: number
}

/** The daemon at one instant, as a value: served at /debug/state, and what every tracing call and CLI command is derived from. */
export interface DaemonSnapshot {
  readonly node: string
  /** Tracing's config keys: name, daemon_mode (ENIMultiIP, or ENIOnly where each pod has an ENI of its own), config_file_path, and whatever else helps. Never a secret. */
  readonly config: Readonly<Record<string, string>>
  /** Tracing's trace keys besides the leases: binding mode, last watch event, counts. */
  readonly trace: Readonly<Record<string, string>>
  readonly enis: readonly EniRow[]
  readonly leases: readonly LeaseRow[]
  readonly cooling: readonly { readonly ip: string; readonly since: number }[]
  readonly releases: readonly { readonly ip: string; readonly nonce: string; readonly answer: string; readonly since: number }[]
  /** ADDs in progress: which step, since when, and what they wait for. */
  readonly waiting: readonly {
    readonly namespace: string
    readonly name: string
    readonly containerId: string
    readonly step: string
    readonly since: number
    readonly reason: string
  }[]
}

export interface Introspection {
  snapshot(): DaemonSnapshot
  /** Why the pod has, or has not, got an address: one finding per line, the decisive one first. */
  why(namespace: string, name: string): Promise<readonly string[]>
}
