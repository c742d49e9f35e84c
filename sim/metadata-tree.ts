// SPDX-License-Identifier: Apache-2.0
import { isoTime } from './api/eni-body.ts'
import { Seen } from './api/seen.ts'
import { issue } from './auth/sts.ts'
import { gatewayOf } from './model/address.ts'
import type { Eni, Instance } from './model/rows.ts'
import type { State } from './model/state.ts'

/** A value, or a folder of values; undefined reads as not found. Values are made when asked for. */
type Node = (() => string | undefined) | { readonly [name: string]: Node | undefined }

/**
 * The text at a path below /latest/meta-data/, as the instance sees it: ENIs and addresses lag behind. A folder lists its
 * names, with "/" behind those of folders. Undefined when there is no such path.
 */
export function lookUp(state: State, instanceId: string, path: string, now: number): string | undefined {
  const instance = state.get('instance', instanceId)
  let node: Node | undefined = instance === undefined ? undefined : tree(state, instance, now)
  for (const name of path.split('/').filter(part => part !== '')) {
    if (node === undefined || typeof node === 'function' || !Object.hasOwn(node, name)) return undefined
    node = node[name]
  }
  if (node === undefined || typeof node === 'function') return node?.()
  return Object.entries(node)
    .map(([name, child]) => (typeof child === 'function' ? name : `${name}/`))
    .join('\n')
}

function tree(state: State, instance: Instance, now: number): Node {
  const seen = new Seen(state, state.settings.timing.metadataLag)
  const enis = seen
    .inOrder('eni')
    .filter(eni => eni.status === 'InUse' && eni.type !== 'Member' && eni.attachment?.instanceId === instance.id)
  const primary = state.get('eni', instance.primaryEniId)
  const vpc = state.get('vpc', instance.vpcId)
  const vSwitch = state.get('vSwitch', instance.vSwitchId)
  const { role } = instance
  return {
    hostname: () => instance.hostName,
    'instance-id': () => instance.id,
    instance: { 'instance-type': () => instance.type, 'instance-name': () => instance.name },
    mac: () => primary?.mac,
    network: { interfaces: { macs: Object.fromEntries(enis.map(eni => [eni.mac, eniNode(state, eni)])) } },
    'private-ipv4': () => primary?.ipv4[0],
    ram: { 'security-credentials': role === undefined ? {} : { [role]: () => credentials(state, role, instance.id, now) } },
    'region-id': () => state.settings.regionId,
    'vpc-cidr-block': () => vpc?.cidr4,
    'vpc-id': () => instance.vpcId,
    'vswitch-cidr-block': () => vSwitch?.cidr4,
    'vswitch-id': () => instance.vSwitchId,
    'zone-id': () => instance.zoneId,
  }
}

function eniNode(state: State, eni: Eni): Node {
  const vSwitch = state.get('vSwitch', eni.vSwitchId)
  const vpc = state.get('vpc', eni.vpcId)
  const cidr6 = vSwitch?.cidr6
  return {
    gateway: () => (vSwitch === undefined ? undefined : gatewayOf(vSwitch.cidr4)),
    ...(cidr6 !== undefined && { 'ipv6-gateway': () => gatewayOf(cidr6), 'vswitch-ipv6-cidr-block': () => cidr6 }),
    ...(eni.ipv6.length > 0 && { ipv6s: () => `[${eni.ipv6.join(',')}]` }),
    netmask: () => (vSwitch === undefined ? undefined : netmask(Number(vSwitch.cidr4.split('/')[1]))),
    'network-interface-id': () => eni.id,
    'primary-ip-address': () => eni.ipv4[0],
    'private-ipv4s': () => JSON.stringify(eni.ipv4),
    'vpc-cidr-block': () => vpc?.cidr4,
    'vpc-id': () => eni.vpcId,
    'vswitch-cidr-block': () => vSwitch?.cidr4,
    'vswitch-id': () => eni.vSwitchId,
  }
}

function netmask(bits: number): string {
  return [24, 16, 8, 0].map(shift => ((2 ** 32 - 2 ** (32 - bits)) / 2 ** shift) & 255).join('.')
}

function credentials(state: State, role: string, instanceId: string, now: number): string {
  const { accessKeyId, accessKeySecret, securityToken, expiration } = issue(state, role, instanceId, now)
  return JSON.stringify({
    AccessKeyId: accessKeyId,
    AccessKeySecret: accessKeySecret,
    Expiration: isoTime(expiration),
    SecurityToken: securityToken,
    LastUpdated: isoTime(now),
    Code: 'Success',
  })
}
