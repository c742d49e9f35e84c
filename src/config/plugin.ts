// SPDX-License-Identifier: Apache-2.0
import { Fields } from '#config/fields.ts'
import type { Cidr } from '#net/cidr.ts'

type Json = Readonly<Record<string, unknown>>

/** What ADD takes (src/rpc). */
const mtuBounds = [576, 65535] as const

/** Keys that change what a pod gets, and the values that are built. */
const built: Readonly<Record<string, readonly (string | boolean)[]>> = {
  eniip_virtual_type: ['', 'veth', 'ipvlan', 'datapathv2'],
  bandwidth_mode: ['', 'tc', 'edt'],
  vlan_strip_type: ['', 'filter', 'vlan'],
  network_policy_provider: ['', 'ebpf', 'iptables'],
  enable_network_priority: [false],
  symmetric_routing: [false],
  cilium_args: [''],
  cilium_enable_hubble: ['', 'false', false],
}

/** Texts that only a part which is not there would read. */
const idleTexts = ['veth_prefix', 'cilium_hubble_metrics', 'cilium_hubble_listen_address', 'cilium_hubble_metrics_server']

/** What the terway plugin says about the node's datapath. */
export interface PluginSettings {
  readonly virtualType: string
  readonly policyProvider: string
  /** Destinations that DataPath V2, and pods with an ENI of their own, leave to the host stack; with veth pairs alone, everything that a pod sends goes through it. */
  readonly hostStackCidrs: readonly Cidr[]
  /** A pod with an ENI of its own gets no way to its node beside it. */
  readonly disableHostPeer?: true
}

export interface Plugin {
  readonly plugin: Json
  readonly settings: PluginSettings
  readonly unknownKeys: readonly string[]
}

/**
 * The terway plugin as the runtime gets it, but for `eniip_virtual_type`. `at` begins the paths in what is told. With `auto_mtu` and no `mtu` of its
 * own, pods get the MTU of the node's device; the key itself is for whoever writes the list, and so is `bandwidth_mode`. Throws `bad-config`.
 */
export function readPlugin(file: string, json: Json, at: string, deviceMtu: number): Plugin {
  const f = new Fields(file, json, at)
  for (const key of ['cniVersion', 'name', 'type', ...idleTexts]) f.text(key, '')
  for (const [key, values] of Object.entries(built)) f.oneOf(key, values)
  const hostStackCidrs = f.texts('host_stack_cidrs').flatMap((cidr, i) => f.cidr(`host_stack_cidrs[${i}]`, cidr))
  for (const [name, value] of f.members('capabilities'))
    if (typeof value !== 'boolean') f.wrong(`capabilities.${name}`, 'must be true or false')
  if (f.members('ipam').length > 0) f.wrong('ipam', 'must be removed: addresses come from the VPC')
  f.members('symmetric_routing_config')
  f.flag('debug', false)
  const disablesHostPeer = f.flag('disable_host_peer', false)
  const mtu = f.between('mtu', ...mtuBounds) ?? (f.flag('auto_mtu', false) ? deviceMtu : undefined)
  f.throwIfWrong()
  const { auto_mtu: _, ...rest } = json
  const plugin = { ...rest, ...(mtu === undefined ? {} : { mtu }), bandwidth_mode: 'tc' }
  // Terway's default where the key is absent.
  const settings = {
    virtualType: f.text('eniip_virtual_type', ''),
    policyProvider: f.text('network_policy_provider', 'iptables'),
    hostStackCidrs,
    ...(disablesHostPeer && { disableHostPeer: true as const }),
  }
  return { plugin, settings, unknownKeys: f.unread() }
}
