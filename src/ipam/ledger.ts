// SPDX-License-Identifier: Apache-2.0
import type { Attachment } from '#datapath/attachment.ts'
import type { Ip } from '#net/ip.ts'

/**
 * One pod sandbox's claim on its addresses. `pending`: written before the kernel is touched; `held`: ADD answered or is
 * about to; `dying`: DEL (or GC, or pod deletion) was accepted, devices may still exist. The row goes when the devices
 * are proven gone; its addresses then cool down. docs/addresses.md has the whole life.
 */
export interface Lease {
  readonly containerId: string
  readonly state: 'pending' | 'held' | 'dying'
  readonly podUid: string
  readonly podNamespace: string
  readonly podName: string
  readonly attachment: Attachment
  /** Who owns the kernel state: our own CNI verbs, or an old Go plugin that took the lease by gRPC AllocIP. */
  readonly owner: 'cni' | 'grpc'
  /** Wall-clock milliseconds of the last change of state. */
  readonly since: number
}

/** An address that is not leased but may not be given away yet: released at `since`. */
export interface Cooling {
  readonly ip: Ip
  readonly since: number
}

/** The daemon's answer to the controller's request to give an address back. Written before it is sent; bars the address until re-marked or re-assigned. */
export interface ReleaseAnswer {
  readonly ip: Ip
  readonly nonce: string
  readonly answer: 'acked' | 'refused'
  readonly since: number
}

export interface LedgerState {
  readonly leases: readonly Lease[]
  readonly cooling: readonly Cooling[]
  readonly releases: readonly ReleaseAnswer[]
}

export type LedgerChange =
  | { readonly put: 'lease'; readonly lease: Lease }
  | { readonly drop: 'lease'; readonly containerId: string }
  | { readonly put: 'cooling'; readonly cooling: Cooling }
  | { readonly drop: 'cooling'; readonly ip: Ip }
  | { readonly put: 'release'; readonly release: ReleaseAnswer }
  | { readonly drop: 'release'; readonly ip: Ip }

/**
 * The store that survives kill -9 and power loss. A `commit` is all or nothing. When it returns, no kill can undo it, and a power cut no
 * answer to a mark; leases and cooling end with the boot anyway. It is synchronous on purpose: no other decision can interleave.
 * Throws AppError `ledger-full` or `ledger-io`.
 */
export interface Ledger {
  /** What the last process left. Leases of another boot are already dropped, their addresses not cooling (no sandbox survives a reboot). */
  load(): LedgerState
  commit(changes: readonly LedgerChange[]): void
  close(): void
}
