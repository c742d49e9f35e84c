// SPDX-License-Identifier: Apache-2.0
import { maps, namespaceKeyOf } from '#kernel/bpf/maps.ts'
import { socketProgramNames } from '#kernel/bpf/programs.ts'
import { namespaceOf } from '#kernel/bpf/words.ts'
import { applyAll, observeHost } from '#kernel/host.ts'
import type { KernelOp, MapPut } from '#kernel/op.ts'
import type { Kernel } from '#kernel/port.ts'
import type { NsState } from '#kernel/state.ts'

type Looking = Pick<Kernel, 'observe' | 'apply'>

/** Sockets of the node reach Services by these programs from now on. Does nothing that is done already. Throws KernelError. */
export async function attachSockets(kernel: Looking, generation: string): Promise<void> {
  const { cookie } = await observeHost(kernel, { links: [], families: [], cookie: true })
  const own = ownNamespace(cookie)
  const host = await observeHost(kernel, { links: [], families: [], sockets: true, entries: [own] })
  await applyAll(kernel, wantedSocketOps(generation, own, host))
}

/** The way back: no namespace is translated, and nothing is attached. Throws KernelError. */
export async function detachSockets(kernel: Looking & Pick<Kernel, 'mapEntries'>): Promise<void> {
  const namespaces = await kernel.mapEntries('namespaces')
  const { sockets } = await observeHost(kernel, { links: [], families: [], sockets: true })
  await applyAll(kernel, [
    ...namespaces.map(({ key }): KernelOp => ({ op: 'map-del', ns: 'host', map: 'namespaces', key: Buffer.from(key).toString('hex') })),
    ...sockets.map(({ program }): KernelOp => ({ op: 'socket-detach', ns: 'host', program })),
  ])
}

/** What is missing of the programs of this generation. The namespace comes last: an answer must be translated back wherever a question was. */
export function wantedSocketOps(generation: string, own: MapPut, host: Pick<NsState, 'sockets' | 'entries'>): KernelOp[] {
  const running = new Set(host.sockets.map(s => s.name))
  const missing = socketProgramNames.filter(program => !running.has(`${program}.${generation}`))
  const isTranslated = host.entries.some(e => e.map === own.map && e.key === own.key && e.value === own.value)
  return [...missing.map((program): KernelOp => ({ op: 'socket-attach', ns: 'host', program, generation })), ...(isTranslated ? [] : [own])]
}

/** A node whose kernel tells no cookie has the initial namespace, which programs know without one. */
export function ownNamespace(cookie = 0n): MapPut {
  const value = maps.namespaces.value.encode({ translated: namespaceOf.node }).toString('hex')
  return { op: 'map-put', ns: 'host', map: 'namespaces', key: namespaceKeyOf(cookie), value }
}
