// SPDX-License-Identifier: Apache-2.0
import { type Desired, type EntryWant, type FilterWant, type HookWant, nothing } from '#datapath/desired.ts'
import { diff } from '#datapath/diff.ts'
import { findUplink, hostIp } from '#datapath/eni.ts'
import { default4, default6 } from '#datapath/ours.ts'
import type { NodeServices } from '#datapath/port.ts'
import { reservedPortsKey, withoutPorts, withPorts } from '#datapath/v2/reserved-ports.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { block } from '#kernel/bpf/words.ts'
import type { IfName } from '#kernel/names.ts'
import { type KernelOp, mainTable } from '#kernel/op.ts'
import type { LinkState, NsQuery, NsState } from '#kernel/state.ts'
import { isIpv4 } from '#net/ip.ts'

const { node_configs } = maps
export const nodeConfigEntry = { map: 'node_configs', key: node_configs.key.encode({ index: 0 }).toString('hex') } as const

/** What `nodeSideOps` must see, beside all devices and their addresses; hooks of `nodeDevices` alone. */
export const nodeSideQuery = {
  routes: { tables: [mainTable], dst: [default4, default6] },
  hooks: true,
  blocks: [block.nodeIn, block.nodeOut],
  sysctls: [reservedPortsKey],
} as const satisfies Partial<NsQuery>

/**
 * What the programs that translate Services have of the node: its addresses, the device that has them with a program at each hook, and ports that no socket
 * gets by itself. Without `services` what is left of it goes. A device with a qdisc of somebody else's cannot be joined, and is left as it is.
 */
export function nodeSideOps(services: NodeServices | undefined, host: NsState, generation: string): KernelOp[] {
  const uplink = findUplink(host)
  // A node that has lost its default route for a moment keeps what it has.
  if (services !== undefined && uplink === undefined) return []
  return diff(services === undefined || uplink === undefined ? withdrawn(host) : wanted(services, uplink, host, generation), { host })
}

/** The devices on which the programs of the node's side are, or are to be. */
export function nodeDevices(host: NsState): readonly IfName[] {
  const indexes = [findUplink(host)?.index, configIn(host)?.ifIndex]
  return host.links.filter(l => indexes.includes(l.index)).map(l => l.name)
}

/** The node's own device when it cannot be joined; undefined otherwise. */
export function takenUplink(host: NsState): LinkState | undefined {
  const uplink = findUplink(host)
  return host.hooks.some(h => h.foreign && h.ifIndex === uplink?.index) ? uplink : undefined
}

function wanted(services: NodeServices, uplink: LinkState, host: NsState, generation: string): Desired {
  const { natPortFirst, natPortLast } = services
  const [address4, address6] = [hostIp(4, uplink, host), hostIp(6, uplink, host)]
  const config = node_configs.value.encode({
    ifIndex: uplink.index,
    address4: address4 !== undefined && isIpv4(address4) ? address4 : undefined,
    address6,
    natPortFirst,
    natPortLast,
  })
  const isTaken = takenUplink(host) !== undefined
  const own: HookWant = { ns: 'host', dev: uplink.name, ingress: block.nodeIn, egress: block.nodeOut }
  const reserved = withPorts(withoutOld(host, services), [natPortFirst, natPortLast])
  return {
    ...nothing,
    entries: [entry(config)],
    hooks: [
      ...joined(host)
        .filter(l => l.index !== uplink.index)
        .map(leaving),
      ...(isTaken ? [] : [own]),
    ],
    filters: isTaken ? [] : nodeFilters(generation),
    sysctls: [{ ns: 'host', key: reservedPortsKey, value: reserved }],
  }
}

/** Of the blocks at the node's own device. */
export function nodeFilters(generation: string): FilterWant[] {
  return [
    { block: block.nodeIn, program: 'node_in', generation },
    { block: block.nodeOut, program: 'node_out', generation },
  ]
}

function withdrawn(host: NsState): Desired {
  const isThere = configIn(host) !== undefined
  return {
    ...nothing,
    hooks: joined(host).map(leaving),
    entries: isThere ? [entry(node_configs.value.encode({}))] : [],
    sysctls: isThere ? [{ ns: 'host', key: reservedPortsKey, value: withoutOld(host) }] : [],
  }
}

/** The ports that no socket gets by itself, without those that were reserved for other settings than `kept`. */
function withoutOld(host: NsState, kept?: NodeServices): string {
  const text = host.sysctls[reservedPortsKey] ?? ''
  const old = configIn(host)
  if (old === undefined || (old.natPortFirst === kept?.natPortFirst && old.natPortLast === kept.natPortLast)) return text
  return withoutPorts(text, [old.natPortFirst, old.natPortLast])
}

/** What the programs were told of the node; undefined where they translate no Services. */
export function configIn(host: NsState) {
  const found = host.entries.find(e => e.map === nodeConfigEntry.map && e.key === nodeConfigEntry.key)
  const config = found && node_configs.value.decode(Buffer.from(found.value, 'hex'))
  return config !== undefined && config.natPortLast > 0 ? config : undefined
}

function joined(host: NsState): readonly LinkState[] {
  return host.links.filter(l => host.hooks.some(h => h.ifIndex === l.index && (h.ingress === block.nodeIn || h.egress === block.nodeOut)))
}

function leaving({ name }: LinkState): HookWant {
  return { ns: 'host', dev: name }
}

function entry(value: Buffer): EntryWant {
  return { ...nodeConfigEntry, value: value.toString('hex') }
}
