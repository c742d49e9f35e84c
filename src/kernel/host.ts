// SPDX-License-Identifier: Apache-2.0
import type { KernelOp } from '#kernel/op.ts'
import { type Kernel, KernelError } from '#kernel/port.ts'
import type { NsQuery, NsState, Observed } from '#kernel/state.ts'

/** One look at the node's own namespace. Throws KernelError. */
export async function observeHost(kernel: Pick<Kernel, 'observe'>, query: Omit<NsQuery, 'ns'>): Promise<NsState> {
  const [host] = await kernel.observe([{ ns: 'host', ...query }])
  return requireHost(host)
}

/** What a look at the node's own namespace, with others, saw. Throws KernelError. */
export function requireHost(host: Observed): NsState {
  if (host === undefined) throw new KernelError('netns-gone', "the node's own network namespace")
  return host
}

/** Performs all of them, in order. Throws the KernelError of the first that is refused. */
export async function applyAll(kernel: Pick<Kernel, 'apply'>, ops: readonly KernelOp[]): Promise<void> {
  if (ops.length === 0) return
  const { failed } = await kernel.apply(ops)
  if (failed !== undefined) throw failed
}
