// SPDX-License-Identifier: Apache-2.0
import { type CliDeps, withDaemon } from '#cli/deps.ts'
import { maps } from '#kernel/bpf/maps.ts'
import type { Kernel } from '#kernel/port.ts'
import { AppError } from '#lib/errors.ts'
import { withPort } from '#net/ip.ts'

/** Pods by their addresses, as namespace/name; none while no daemon answers. */
export type PodNames = ReadonlyMap<string, string>

export async function podNames(deps: CliDeps, socket: string): Promise<PodNames> {
  const leases = await withDaemon(deps, socket, async daemon => (await daemon.mapping()).resource_db).catch(() => [])
  return new Map(
    leases.flatMap(({ ipv4, ipv6, pod_namespace, pod_name }) =>
      [ipv4, ipv6].filter(ip => ip !== '').map(ip => [ip, `${pod_namespace}/${pod_name}`] as const),
    ),
  )
}

/** By their addresses: the ENIs of pods that have one for themselves. */
export async function ownEnis(deps: CliDeps, socket: string): Promise<ReadonlyMap<string, string>> {
  const leases = await withDaemon(deps, socket, async daemon => (await daemon.mapping()).resource_db).catch(() => [])
  return new Map(leases.flatMap(({ type, ipv4, ipv6, eni_id }) => (type === 'eni' ? [ipv4, ipv6].map(ip => [ip, eni_id] as const) : [])))
}

/** An empty table would say that there is nothing to see, where nobody looks. Throws `no-programs`. */
export async function requirePrograms(kernel: Pick<Kernel, 'countEntries'>): Promise<void> {
  const { room } = await kernel.countEntries('control')
  if (room === 0)
    throw new AppError('no-programs', 'no programs are loaded on this node: its host stack carries everything (terway-cli datapath status)')
}

/** What clients see, by number: `10.96.0.10:80`. */
export async function frontendNames(kernel: Pick<Kernel, 'mapEntries'>): Promise<ReadonlyMap<number, string>> {
  const { key, value } = maps.frontends
  return new Map(
    (await kernel.mapEntries('frontends')).map(e => {
      const { ip = '', port } = value.decode(e.value)
      return [key.decode(e.key).frontend, withPort(ip, port)] as const
    }),
  )
}

/** The name of a number, of a list that only appends. */
export function nameOf(names: Readonly<Record<string, number>>, number: number): string {
  return Object.entries(names).find(([, n]) => n === number)?.[0] ?? String(number)
}

const protocols: Readonly<Record<number, string>> = { 1: 'ICMP', 6: 'TCP', 17: 'UDP', 58: 'ICMPv6', 132: 'SCTP' }

export function protocolName(protocol: number): string {
  return protocols[protocol] ?? String(protocol)
}
