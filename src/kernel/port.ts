// SPDX-License-Identifier: Apache-2.0

import type { MapName } from '#kernel/bpf/maps.ts'
import type { FlowTable, Survey } from '#kernel/bpf/survey.ts'
import type { IfName, Netns, NetnsPath } from '#kernel/names.ts'
import { type EntryOp, formatOp, type KernelOp } from '#kernel/op.ts'
import type { AddrState, EntryKey, EntryState, LinkState, NsQuery, Observed, RawEntry, RouteState, RuleState } from '#kernel/state.ts'
import { AppError } from '#lib/errors.ts'
import type { Ip } from '#net/ip.ts'

/**
 * `kernel-refused`: the kernel said no (see errno). `netns-gone`: the namespace file is missing or dead.
 * `kernel-worker`: the netlink thread died; the next call starts a new one, and what was under way must be observed again.
 */
export type KernelCode = 'kernel-refused' | 'netns-gone' | 'kernel-worker'

/** A failed call. Keeps the errno's name, the kernel's own explanation (extended ack) and the operation in `ip` words. */
export class KernelError extends AppError<KernelCode> {
  /** What was attempted, or why it failed when no operation was under way. */
  readonly what: string
  /** `EEXIST`, `ENODEV`, …; '' when no system call failed. */
  readonly errno: string
  readonly explanation: string
  readonly op: KernelOp | undefined

  constructor(code: KernelCode, what: string, details: { errno?: string; explanation?: string; op?: KernelOp } = {}) {
    const { errno = '', explanation = '', op } = details
    const why = [errno, explanation].filter(s => s !== '').join(', ')
    super(code, `${op === undefined ? what : formatOp(op)}${why === '' ? '' : `: ${why}`}${op === undefined ? '' : ` (${what})`}`)
    this.name = 'KernelError'
    this.what = what
    this.errno = errno
    this.explanation = explanation
    this.op = op
  }
}

/** What `apply` did. It stops at the first failure: `done` were performed, in order, and nothing after `failed` was tried. */
export interface ApplyResult {
  readonly done: readonly KernelOp[]
  readonly failed?: KernelError
}

/** A device to delete. With `owners`, only if its alias is empty or one of them: a namesake of a newer sandbox is spared. */
export interface Doomed {
  readonly name: IfName
  readonly owners?: readonly string[]
}

/** A change in the host namespace that was not made through this Kernel. `lost` = anything may have changed before: the queue overflowed, or watching has just begun. */
export type KernelEvent =
  | { readonly kind: 'link'; readonly removed: boolean; readonly link: LinkState }
  | { readonly kind: 'addr'; readonly removed: boolean; readonly addr: AddrState }
  | { readonly kind: 'route'; readonly removed: boolean; readonly route: RouteState }
  | { readonly kind: 'rule'; readonly removed: boolean; readonly rule: RuleState }
  | { readonly kind: 'lost' }

/** Whether this kernel has what the programs need. `explanation` says what was tried and what the kernel answered. */
export interface BpfProbe {
  readonly feature: 'bpf-file-system' | 'maps' | 'programs' | 'clsact-blocks' | 'socket-programs' | 'netns-cookie'
  readonly ok: boolean
  readonly explanation: string
}

/** The programs and maps as they are pinned now. */
export interface LoadedPrograms {
  readonly generation: string
  /** Maps that had to be made: they are empty. The others are those of the process before, with what they hold. */
  readonly created: readonly MapName[]
  /** Other generations, which run somewhere still. The next load takes away what does not any more. */
  readonly others: readonly string[]
}

export interface MapPage {
  readonly entries: readonly EntryState[]
  /** Undefined: there are no more. */
  readonly next: Uint8Array | undefined
}

/** A flow that the kernel's own conntrack translates: what its first packet had, and what answers carry. */
export interface TranslatedFlow {
  readonly protocol: number
  readonly original: FlowTuple
  readonly reply: FlowTuple
}
export interface FlowTuple {
  readonly source: Ip
  readonly destination: Ip
  readonly sourcePort: number
  readonly destinationPort: number
}

/**
 * The pinned maps alone, on the caller's own thread: a call of bpf(2) takes a microsecond or two, and the way to another thread and back a hundred. For
 * who writes entries all the time and needs nothing of the network. Throws KernelError.
 */
export interface PinnedMaps {
  /** In order; stops at the first that is refused. Others get their turn between two calls that take long. */
  apply(ops: readonly EntryOp[]): Promise<ApplyResult>
  /** Those of them that are there. A map that is not pinned has none. */
  lookUp(asked: readonly EntryKey[]): Promise<readonly EntryState[]>
  /** Some entries, from `next` of an earlier page on or from the first. */
  mapPage(map: MapName, after: Uint8Array | undefined): Promise<MapPage>
  close(): void
}

/** A socket of UDP that names one other side. */
export interface ConnectedSocket {
  /** Where it was found. */
  readonly ns: Netns
  /** It is one of IPv6; its other side may be an IPv4 address all the same (::ffff:a.b.c.d). */
  readonly v6: boolean
  readonly cookie: bigint
  readonly remote: Ip
  readonly remotePort: number
  /** What the kernel finds it by, in hex. */
  readonly id: string
}

/**
 * The network side of the Linux kernel. Two threads stand behind it: one for quick work in the order of the calls, one for
 * deletions and moves of devices, which block for milliseconds each. No call blocks the caller's event loop.
 */
export interface Kernel {
  /** Looks at several namespaces in one go; answers in the order of the queries. Throws KernelError. */
  observe(queries: readonly NsQuery[]): Promise<readonly Observed[]>
  /**
   * Performs the operations in order, in one round trip. Idempotent where the kernel allows: removing what is absent and
   * adding an equal address or rule succeed. A list with a `link-del` or a `link-move` runs on the slow thread.
   */
  apply(ops: readonly KernelOp[]): Promise<ApplyResult>
  /** Deletes host devices in batches; `gone` are proven absent afterwards (or owned by somebody else now). */
  reapLinks(doomed: readonly Doomed[]): Promise<{ readonly gone: readonly IfName[]; readonly remaining: readonly IfName[] }>
  /** Reports changes made by others in the host namespace, at once after a time without any, else gathered for some milliseconds. Returns the unsubscriber. */
  monitor(callback: (events: readonly KernelEvent[]) => void): () => void
  /** Tries every feature that the programs need, each by itself. Changes nothing that stays. */
  probePrograms(): Promise<readonly BpfProbe[]>
  /**
   * Loads the programs of dist/terway-bpf.json and pins them, with the maps that are not there yet; a second call finds them. `sizes` are
   * the entries of maps that are made; tables of connections that have others are made anew with what they hold, and programs that run go over to
   * them. Throws `kernel-refused` with the verifier's last words.
   */
  loadPrograms(sizes?: Partial<Record<MapName, number>>): Promise<LoadedPrograms>
  /** Takes every pin of ours away: the maps end with the last program that runs. */
  unloadPrograms(): Promise<void>
  /** All entries of a pinned map; those that come or go meanwhile may be missing. Values of per-CPU maps are one after the other. Large maps are read in slices, between which other slow work goes on. */
  mapEntries(map: MapName): Promise<readonly RawEntry[]>
  /** How many entries `mapEntries` would find, and how many the map may have; both 0 where it is not pinned. */
  countEntries(map: MapName): Promise<{ readonly used: number; readonly room: number }>
  /**
   * Walks through a table of flows as `countEntries` does. Those that had a credit for too long are taken away, and after a walk through `flows` as many
   * credits are granted as are missing.
   */
  surveyFlows(table: FlowTable): Promise<Survey & { readonly room: number }>
  /** The flows of the host namespace that the kernel translates. Throws `kernel-refused` where it has no conntrack over netlink. */
  translatedFlows(): Promise<readonly TranslatedFlow[]>
  /** The sockets of UDP in the host namespace, and in these as far as they exist, that are connected. Throws `kernel-refused` where the kernel does not list them. */
  connectedSockets(pods: readonly NetnsPath[]): Promise<readonly ConnectedSocket[]>
  /**
   * Ends these: the next call of each owner fails with ECONNABORTED. Returns how many there still were. Throws `kernel-refused` where the kernel cannot
   * (CONFIG_INET_DIAG_DESTROY), also when there are none to end.
   */
  destroySockets(sockets: readonly ConnectedSocket[]): Promise<number>
  close(): Promise<void>
}
