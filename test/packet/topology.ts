// SPDX-License-Identifier: Apache-2.0
import type { ProgramName } from '#kernel/bpf/object.ts'
import { addressState, control, credits, hostReason, mode } from '#kernel/bpf/words.ts'
import { type Family, type Ip, isIpv4, parseIp, parseIpv4, parseIpv6 } from '#net/ip.ts'
import { type Mac, parseMac } from '#net/mac.ts'
import { framed, type IpOptions, ipPacket, type Segment } from './build.ts'
import type { Arrival } from './oracle/step.ts'
import { type Change, type KeyOf, prefixRow, type RowValue, row } from './world.ts'

/** The node that the packets meet: three pods on two ENIs, a service network, and somebody far away. */

export interface Pod {
  readonly ifIndex: number
  readonly eni: number
  readonly incarnation: number
  readonly mac: Mac
  readonly hostMac: Mac
  readonly ip: Readonly<Record<Family, Ip>>
}

const pod = (n: number, eni: number): Pod => ({
  ifIndex: 10 + n,
  eni,
  incarnation: 0x1000 + n,
  mac: parseMac(`02:00:00:00:00:1${n}`),
  hostMac: parseMac(`02:00:00:00:00:2${n}`),
  ip: { 4: parseIp(`10.0.1.1${n}`), 6: parseIp(`fd00:1::1${n}`) },
})

export const [pod1, pod2, pod3] = [pod(1, 21), pod(2, 22), pod(3, 21)]
export const pods = [pod1, pod2, pod3]
/** The device with the node's addresses. */
export const nodeDevice = 31
/** Every device there is: host ends of pods, ENIs, the node's own. */
export const devices = [11, 12, 13, 14, 21, 22, nodeDevice, 32]
export const families: readonly Family[] = [4, 6]

const both = (v4: string, v6: string): Readonly<Record<Family, Ip>> => ({ 4: parseIp(v4), 6: parseIp(v6) })
export const remote = both('198.51.100.1', '2001:db8:ffff::1')
export const otherRemote = both('198.51.100.2', '2001:db8:ffff::2')
export const node = both('192.0.2.10', '2001:db8:1::10')
export const service = both('10.96.0.1', 'fd00:96::1')
export const localDns = both('169.254.20.10', 'fe80::20:10')
export const group = both('224.0.0.251', 'ff02::fb')
export const hostCidr = both('100.64.0.7', 'fd00:64::7')
const fabricMac = parseMac('ee:ff:ff:ff:ff:ff')
/** Of the node's own device. */
export const nodeMac = parseMac('02:00:00:00:00:31')

export const everything = mode.guard | mode.forward | mode.policy

export function endpointOf(p: Pod, more: Partial<RowValue<'endpoints'>> = {}): Change {
  const gateways = { gateway4: parseIpv4('10.0.1.253'), gateway6: parseIpv6('fd00:1::fd') }
  const addresses = { address4: parseIpv4(p.ip[4]), address6: p.ip[6] }
  const value = { incarnation: p.incarnation, outIfIndex: p.eni, podMac: p.mac, hostMac: p.hostMac, mtu: 1500, outMtu: 1500, flags: 0 }
  return row('endpoints', { ifIndex: p.ifIndex }, { ...value, ...gateways, ...addresses, ...more })
}

export function addressOf(p: Pod, family: Family, more: Partial<RowValue<'addresses'>> = {}): Change {
  return row('addresses', { ip: p.ip[family] }, { endpoint: p.ifIndex, incarnation: p.incarnation, state: addressState.live, ...more })
}

/** The number of the last change of a policy. */
export function policiesAre(value: number): Change {
  return row('control', { index: control.policies }, { value: BigInt(value) })
}

export function modeIs(value: number): Change {
  return row('control', { index: 0 }, { value: BigInt(value) })
}

/** How many flows each pod may have. */
export function limitIs(value: number): Change {
  return row('control', { index: control.flowLimit }, { value: BigInt(value) })
}
export function countIs(pod: Pod, live: number): Change {
  return row('endpoint_flows', { ifIndex: pod.ifIndex }, { live })
}

function prefix(ip: Ip, length: number) {
  return { prefixLength: isIpv4(ip) ? 96 + length : length, ip }
}

export function inHostSet(ip: Ip, length: number, why: keyof typeof hostReason): Change {
  return prefixRow('host_set', prefix(ip, length), { why: hostReason[why] })
}

export function identityIs(ip: Ip, length: number, identity: number): Change {
  return prefixRow('identities', prefix(ip, length), { identity })
}

/** What is enforced for a pod: 1 = in, 2 = out, 3 = both. Policy 1, unless said otherwise. */
export function policyOf(p: Pod, more: Partial<RowValue<'endpoint_policies'>>): Change {
  return row('endpoint_policies', { ifIndex: p.ifIndex }, { policy: 1, revision: 1, ...more })
}

/** A rule of policy 1 for everybody, unless said otherwise. */
export function ruleOf(key: Partial<KeyOf<'policies'>>, verdict = 0): Change {
  return prefixRow('policies', { policy: 1, ...key }, { verdict })
}

/** The node's own addresses and ports, as it translates for others. */
export function nodeIs(more: Partial<RowValue<'node_configs'>> = {}): Change {
  const addresses = { address4: parseIpv4(node[4]), address6: node[6] }
  return row('node_configs', { index: 0 }, { ifIndex: nodeDevice, ...addresses, natPortFirst: 61000, natPortLast: 61015, ...more })
}

/** A node in full work, without any policy. */
export function nodeRows(): Change[] {
  return [
    modeIs(everything),
    ...pods.map(p => endpointOf(p)),
    ...pods.flatMap(p => families.map(family => addressOf(p, family))),
    ...[inHostSet(node[4], 32, 'node'), inHostSet(node[6], 128, 'node')],
    ...[inHostSet(parseIp('10.96.0.0'), 16, 'serviceCidr'), inHostSet(parseIp('fd00:96::'), 112, 'serviceCidr')],
    ...[inHostSet(parseIp('169.254.0.0'), 16, 'linkLocal'), inHostSet(parseIp('fe80::'), 10, 'linkLocal')],
    ...[inHostSet(parseIp('224.0.0.0'), 4, 'multicast'), inHostSet(parseIp('ff00::'), 8, 'multicast')],
    ...[inHostSet(parseIp('100.64.0.0'), 10, 'hostStackCidr'), inHostSet(parseIp('fd00:64::'), 64, 'hostStackCidr')],
  ]
}

/** Whether new flows go to those in use at once: without it they get no credit. Never more or less than it at once, and only at the beginning. */
export function creditIs(pool: number = credits.flows): Change {
  return row('credits', { index: pool + credits.granted }, { value: 2n ** 40n })
}

export interface Packet {
  readonly program: ProgramName
  readonly arrival: Arrival
}
type More = IpOptions & Omit<Partial<Arrival>, 'packet'> & { readonly fromMac?: Mac; readonly toMac?: Mac }

function arriving(
  program: ProgramName,
  macs: readonly [Mac, Mac],
  ips: readonly [Ip, Ip],
  ifIndex: number,
  segment: Segment,
  more: More,
): Packet {
  const { options, fragment, extensions, hops = 64, fromMac = macs[0], toMac = macs[1], ...arrival } = more
  const shape = { hops, ...(options && { options }), ...(fragment && { fragment }), ...(extensions && { extensions }) }
  const packet = framed(fromMac, toMac, ipPacket(ips[0], ips[1], segment, shape))
  return { program, arrival: { ifIndex, packet, ...arrival } }
}

const familyOf = (ip: Ip): Family => (isIpv4(ip) ? 4 : 6)

/** What a pod sends. */
export function sent(by: Pod, to: Ip, segment: Segment, more: More = {}): Packet {
  return arriving('pod_in', [by.mac, by.hostMac], [by.ip[familyOf(to)], to], by.ifIndex, segment, more)
}

/** What arrives on the ENI of a pod for it. */
export function arrived(from: Ip, at: Pod, segment: Segment, more: More = {}): Packet {
  return arriving('eni_in', [fabricMac, at.mac], [from, at.ip[familyOf(from)]], at.eni, segment, { ingressIfIndex: at.eni, ...more })
}

/** What the host stack hands to a pod: it arrived on an ENI, unless `ingressIfIndex` says otherwise. */
export function handed(from: Ip, to: Pod, segment: Segment, more: More = {}): Packet {
  return arriving('pod_out', [to.hostMac, to.mac], [from, to.ip[familyOf(from)]], to.ifIndex, segment, { ingressIfIndex: to.eni, ...more })
}

/** What arrives at the node's own device, for whomever. */
export function reached(from: Ip, to: Ip, segment: Segment, more: More = {}): Packet {
  return arriving('node_in', [fabricMac, nodeMac], [from, to], nodeDevice, segment, { ingressIfIndex: nodeDevice, ...more })
}

/** What the node itself sends by it. */
export function told(to: Ip, segment: Segment, more: More = {}): Packet {
  return arriving('node_out', [nodeMac, fabricMac], [node[familyOf(to)], to], nodeDevice, segment, more)
}
