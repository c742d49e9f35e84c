// SPDX-License-Identifier: Apache-2.0

import { restoreIds } from '#compile/service/restore.ts'
import { ServiceState } from '#compile/service/state.ts'
import type { NodeDatapath } from '#datapath/port.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { serviceWord } from '#kernel/bpf/words.ts'
import { applyAll } from '#kernel/host.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { Kernel } from '#kernel/port.ts'
import type { EndpointSlice } from '#kube/reflect/endpoint-slice.ts'
import type { Service } from '#kube/reflect/service.ts'
import { isIpv4, parseIp } from '#net/ip.ts'
import { serviceMaps } from '#state/entry.ts'
import type { NodeFacts } from '#state/node-facts.ts'
import { service, slice } from '../support/service-objects.ts'
import { hostIp4, hostIp6, port, v2 } from './datapath-lab.ts'

const node: NodeFacts = { name: 'cn-a', zone: 'a', addresses: [hostIp4, hostIp6].map(parseIp) }
/** So few that a test could use them up. */
export const services = { natPortFirst: 61000, natPortLast: 61255 } as const
/** The two kinds of nodes whose Services the programs translate. */
export const nodes = {
  regular: { ...v2, kind: 'services', services },
  v2: { ...v2, services },
} as const satisfies Record<string, NodeDatapath>

export interface TestService {
  readonly name: string
  /** Of one family or both. */
  readonly ips: readonly string[]
  /** Addresses of pods and others; those of this node are so by `local`. */
  readonly backends?: readonly string[]
  readonly local?: boolean
  readonly nodePort?: number
  readonly spec?: Readonly<Record<string, unknown>>
}

/** What every probe of the lab serves: TCP and UDP on one port, and two more of TCP. */
const served = [
  { name: 'echo', protocol: 'TCP', port },
  { name: 'ask', protocol: 'UDP', port },
  { name: 'late', protocol: 'TCP', port: port + 1 },
  { name: 'call', protocol: 'TCP', port: port + 2 },
] as const

/** Puts these Services into the maps, in the place of those that are there, and says that all of them are there. */
export async function putServices(kernel: Kernel, all: readonly TestService[]): Promise<void> {
  const entries = new Map(await Promise.all(serviceMaps.map(async map => [map, await kernel.mapEntries(map)] as const)))
  const state = new ServiceState(
    restoreIds(map => entries.get(map) ?? []),
    0,
  )
  state.tables.setNode(node)
  state.tables.replaceServices(all.map(objectOf))
  state.tables.replaceSlices(all.flatMap(slicesOf))
  const changes = state.take(0).map(({ map, key, value }): KernelOp => {
    return value === undefined ? { op: 'map-del', ns: 'host', map, key } : { op: 'map-put', ns: 'host', map, key, value }
  })
  await applyAll(kernel, [...changes, synced])
}

const synced: KernelOp = {
  op: 'map-put',
  ns: 'host',
  map: 'service_states',
  key: maps.service_states.key.encode({ index: serviceWord.synced }).toString('hex'),
  value: maps.service_states.value.encode({ value: 1n }).toString('hex'),
}

function objectOf({ name, ips, nodePort, spec = {} }: TestService): Service {
  const ports = served.map(p => ({
    ...p,
    targetPort: p.port,
    ...(nodePort !== undefined && { nodePort: nodePort + p.port - port }),
  }))
  return service(`default/${name}`, { ...(nodePort !== undefined && { type: 'NodePort' }), clusterIPs: [...ips], ports, ...spec })
}

function slicesOf({ name, backends = [], local = false }: TestService): EndpointSlice[] {
  const families = [backends.filter(ip => isIpv4(parseIp(ip))), backends.filter(ip => !isIpv4(parseIp(ip)))]
  return families
    .filter(ips => ips.length > 0)
    .map((ips, i) =>
      slice(`default/${name}`, `${name}-${i}`, Object.fromEntries(ips.map(ip => [ip, local ? { node: node.name } : {}])), served),
    )
}
