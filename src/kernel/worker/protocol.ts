// SPDX-License-Identifier: Apache-2.0
import type { IfName } from '#kernel/names.ts'
import type { KernelOp } from '#kernel/op.ts'
import { type Doomed, type KernelCode, KernelError, type KernelEvent } from '#kernel/port.ts'
import type { NsQuery, Observed } from '#kernel/state.ts'

/** What a worker is started with (workerData). */
export interface WorkerSetup {
  readonly hostNetns?: string
  readonly procRoot: string
}

/** Errors lose their fields when they are posted between threads, so they travel as values. */
export interface PostedError {
  readonly code: KernelCode
  readonly what: string
  readonly errno: string
  readonly explanation: string
  readonly op: KernelOp | undefined
}

/** The calls a worker answers: arguments and result of each. */
export interface Calls {
  observe: { args: readonly NsQuery[]; result: readonly Observed[] }
  apply: { args: readonly KernelOp[]; result: { done: number; failed?: PostedError } }
  reap: { args: readonly Doomed[]; result: { gone: IfName[]; remaining: IfName[] } }
  /** Starts reporting; the arguments are the ports whose changes are our own. */
  watch: { args: readonly number[]; result: undefined }
  unwatch: { args: undefined; result: undefined }
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
