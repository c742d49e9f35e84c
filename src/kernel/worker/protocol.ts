// SPDX-License-Identifier: Apache-2.0
import type { Slice } from '#kernel/bpf/entries.ts'
import type { MapSizes } from '#kernel/bpf/load.ts'
import type { MapName } from '#kernel/bpf/maps.ts'
import type { FlowTable, Survey } from '#kernel/bpf/survey.ts'
import type { IfName, NetnsPath } from '#kernel/names.ts'
import type { KernelOp } from '#kernel/op.ts'
import {
  type BpfProbe,
  type ConnectedSocket,
  type Doomed,
  type KernelCode,
  KernelError,
  type KernelEvent,
  type LoadedPrograms,
  type TranslatedFlow,
} from '#kernel/port.ts'
import type { NsQuery, Observed } from '#kernel/state.ts'

/** What a worker is started with (workerData). */
export interface WorkerSetup {
  readonly hostNetns?: string
  readonly procRoot: string
  /** The directory of our pins, on a BPF file system. */
  readonly pins: string
  /** The file of the programs. */
  readonly object: string
  /** Where programs meet sockets; the root of cgroup 2 unless it is named. */
  readonly cgroup?: string
}

/** Errors lose their fields when they are posted between threads, so they travel as values. */
export interface PostedError {
  readonly code: KernelCode
  readonly what: string
  readonly errno: string
  readonly explanation: string
  readonly op: KernelOp | undefined
}

/** Which slice of a map: after another one, or the first. */
export interface From {
  readonly map: MapName
  readonly after: Uint8Array | undefined
}

/** A slice of a table of flows, and how many the table may have. */
export interface Surveyed extends Survey {
  readonly next: Uint8Array | undefined
  readonly room: number
}

/** The calls a worker answers: arguments and result of each. */
export interface Calls {
  observe: { args: readonly NsQuery[]; result: readonly Observed[] }
  apply: { args: readonly KernelOp[]; result: { done: number; failed?: PostedError } }
  reap: { args: readonly Doomed[]; result: { gone: IfName[]; remaining: IfName[] } }
  /** Starts or goes on reporting; the arguments are the other ports whose changes are our own. */
  watch: { args: readonly number[]; result: undefined }
  unwatch: { args: undefined; result: undefined }
  probe: { args: undefined; result: readonly BpfProbe[] }
  load: { args: MapSizes; result: LoadedPrograms }
  unload: { args: undefined; result: undefined }
  /** Lets go of maps that were unpinned. */
  release: { args: undefined; result: undefined }
  slice: { args: From; result: Slice }
  count: { args: From; result: { readonly used: number; readonly room: number; readonly next: Uint8Array | undefined } }
  survey: { args: Omit<From, 'map'> & { readonly table: FlowTable }; result: Surveyed | undefined }
  grant: { args: Survey; result: undefined }
  translated: { args: undefined; result: readonly TranslatedFlow[] }
  connected: { args: readonly NetnsPath[]; result: readonly ConnectedSocket[] }
  destroy: { args: readonly ConnectedSocket[]; result: { readonly ended: number } }
}

export type Request = { [K in keyof Calls]: { readonly id: number; readonly call: K; readonly args: Calls[K]['args'] } }[keyof Calls]

export type Reply =
  | { readonly kind: 'ready'; readonly portId: number }
  | { readonly kind: 'result'; readonly id: number; readonly result: Calls[keyof Calls]['result'] }
  | { readonly kind: 'error'; readonly id: number; readonly error: PostedError }
  | { readonly kind: 'events'; readonly events: readonly KernelEvent[] }

export function post({ code, what, errno, explanation, op }: KernelError): PostedError {
  return { code, what, errno, explanation, op }
}

export function unpost({ code, what, errno, explanation, op }: PostedError): KernelError {
  return new KernelError(code, what, { errno, explanation, ...(op === undefined ? {} : { op }) })
}
