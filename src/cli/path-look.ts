// SPDX-License-Identifier: Apache-2.0

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { nameOf, type PodNames } from '#cli/node-view.ts'
import { countsByName } from '#kernel/bpf/counters.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { addressState, dropReasons, hostReason, mode, path as paths } from '#kernel/bpf/words.ts'
import { observeHost } from '#kernel/host.ts'
import { modeOf } from '#kernel/mode.ts'
import { parseNetnsPath } from '#kernel/names.ts'
import { mainTable } from '#kernel/op.ts'
import type { Kernel } from '#kernel/port.ts'
import type { NsState, RawEntry } from '#kernel/state.ts'
import { AppError } from '#lib/errors.ts'
import { hostCidr } from '#net/cidr.ts'
import { type Ip, tryParseIp } from '#net/ip.ts'

/** Where runtimes keep the namespaces of pods. */
const netnsDir = '/var/run/netns'

/** The node's devices, the route to the pod, and whose namespace is whose. */
export function lookAt(kernel: Kernel, address: Ip): Promise<NsState> {
  const nsids = namesIn(netnsDir).map(name => parseNetnsPath(join(netnsDir, name)))
  return observeHost(kernel, { links: 'all', families: [4, 6], routes: { tables: [mainTable], dst: [hostCidr(address)] }, nsids })
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function hostEnd({ links, routes }: NsState) {
  const [route] = routes
  return links.find(l => l.index === route?.ifIndex)
}

/** The file of the namespace at the other end of the pod's device. Throws `no-netns`. */
export function netnsOf(host: NsState, pod: string): string {
  const nsid = hostEnd(host)?.peerNsid
  const found = Object.entries(host.nsids).find(([, id]) => nsid !== undefined && id === nsid)?.[0]
  if (found === undefined) throw new AppError('no-netns', `the network namespace of ${pod} is not in ${netnsDir}`)
  return found
}

/** What the node and its programs have at both ends. */
export async function endsOf(kernel: Kernel, host: NsState, address: Ip, remote: string, names: PodNames) {
  const device = hostEnd(host)
  const pods = new Map(
    (await kernel.mapEntries('addresses')).map(e => [maps.addresses.key.decode(e.key).ip, maps.addresses.value.decode(e.value)]),
  )
  const endpoints = (await kernel.mapEntries('endpoints')).map(e => ({
    ...maps.endpoints.key.decode(e.key),
    ...maps.endpoints.value.decode(e.value),
  }))
  const own = pods.get(address)
  const out = endpoints.find(e => e.ifIndex === own?.endpoint)?.outIfIndex
  const to = tryParseIp(remote)
  const peer = to && pods.get(to)
  const word = await modeOf(kernel)
  const reason = to === undefined ? undefined : reasonOf(await kernel.mapEntries('host_set'), to, ((word ?? 0) & mode.service) !== 0)
  const eni = host.links.find(l => l.index === out)?.name
  return {
    mode: word,
    device: `${device?.name ?? 'a device that is gone'}`,
    state: own === undefined ? 'unknown' : nameOf(addressState, own.state),
    ...(eni !== undefined && { eni: `${eni}` }),
    ...(peer !== undefined && { peer: names.get(remote) ?? 'a pod of this node' }),
    ...(reason !== undefined && { hostReason: reason }),
  }
}

const reasons: Readonly<Record<string, string>> = {
  node: 'an address of this node',
  linkLocal: 'it is beyond no gateway (link-local)',
  multicast: 'multicast',
  hostStackCidr: 'host_stack_cidrs names it',
  serviceCidr: 'it is in the network of Services, which the host stack translates',
}

/** Of the longest prefix that has the address. Where programs translate, Services are none of the host stack's. */
function reasonOf(entries: readonly RawEntry[], ip: Ip, translates: boolean): string | undefined {
  const bits = (a: Ip) => [...maps.addresses.key.encode({ ip: a })].map(b => b.toString(2).padStart(8, '0')).join('')
  const wanted = bits(ip)
  const [best] = entries
    .map(e => ({ ...maps.host_set.key.decode(e.key), ...maps.host_set.value.decode(e.value) }))
    .filter(e => e.ip !== undefined && bits(e.ip).slice(0, e.prefixLength) === wanted.slice(0, e.prefixLength))
    .toSorted((a, b) => b.prefixLength - a.prefixLength)
  return best === undefined || (translates && best.why === hostReason.serviceCidr) ? undefined : reasons[nameOf(hostReason, best.why)]
}

/** Packets by their way, or as dropped. */
export async function counts(kernel: Kernel): Promise<ReadonlyMap<string, number>> {
  const [ways, drops] = [countsByName(await kernel.mapEntries('paths'), paths), countsByName(await kernel.mapEntries('drops'), dropReasons)]
  return new Map([...ways, ...drops].map(([name, { packets }]) => [name, Number(packets)]))
}

export function difference(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...after].map(([name, n]) => [name, n - (before.get(name) ?? 0)] as const).filter(([, n]) => n > 0))
}
