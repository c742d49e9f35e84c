// SPDX-License-Identifier: Apache-2.0
import type { PacketProgram } from '#kernel/bpf/object.ts'
import { addressState, direction, endpointFlag, hostReason, mode, ownMark, serviceWord, verdict } from '#kernel/bpf/words.ts'
import { type Family, familyOf, type Ip, parseIp } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import type { Chance } from '../support/chance.ts'
import { type Extension, echo, etherTypes, frame, framed, icmp, icmpError, ipPacket, raw, type Segment, sctp, tcp, udp } from './build.ts'
import { anyAsked, anyServiceChange, anyServices, anyTaken, asks, flowIn } from './random-services.ts'
import * as t from './topology.ts'
import { type Change, prefixRow, row, type World } from './world.ts'

const stranger: Readonly<Record<Family, Ip>> = { 4: parseIp('203.0.113.9'), 6: parseIp('2001:db8:9::9') }
const mapped: Readonly<Record<Family, Ip>> = { 4: parseIp('0.0.0.0'), 6: parseIp('::ffff:10.0.1.11') }
const unspecified: Readonly<Record<Family, Ip>> = { 4: parseIp('0.0.0.0'), 6: parseIp('::') }
const linkLocal: Readonly<Record<Family, Ip>> = { 4: parseIp('169.254.1.1'), 6: parseIp('fe80::1') }

export function anyIp(c: Chance, family: Family): Ip {
  if (c.rarely(40)) return c.of(mapped, unspecified, linkLocal)[family]
  if (c.rarely(5)) return c.of(t.node, t.service, t.localDns, t.group, t.hostCidr, stranger)[family]
  return c.of(t.remote, t.otherRemote, t.pod1.ip, t.pod2.ip, t.pod3.ip)[family]
}

const anyPort = (c: Chance) => c.of(80, 53, 40000, 40001)

const anyData = (c: Chance) => Buffer.alloc(c.rarely(12) ? c.below(1700) : c.below(30), 0x55)

function anyTransport(c: Chance): Segment {
  const protocol = c.of(...([6, 6, 17, ...(c.rarely(4) ? [1, 132, 47, 256] : [])] as [number, ...number[]]))
  return anyTransportOf(c, protocol, anyPort(c), anyPort(c))
}

/** Echoes have one number, the first; 256: any message of ICMP. */
function anyTransportOf(c: Chance, protocol: number, from: number, to: number): Segment {
  const data = anyData(c)
  switch (protocol) {
    case 6:
      return tcp(from, to, c.of('S', 'SA', 'A', 'A', 'A', 'PA', 'FA', 'R', 'RA', '', 'SF'), { data, acknowledges: c.below(2 ** 32) })
    case 17:
      return udp(from, to, data)
    case 132:
      return sctp(from, to, data)
    case 1:
    case 58:
      return echo(c.of('request', 'reply'), c.rarely(2) ? from : c.of(1, 2, 0), data)
    case 256:
      return icmp(c.below(c.rarely(2) ? 256 : 20), 0, Buffer.concat([Buffer.alloc(4), data]))
    default:
      return raw(c.of(47, 50, 1, 58, 59, 0, 41), data)
  }
}

/** An error about a packet between two of the addresses, mostly one that could have been. */
function anyError(c: Chance, family: Family): Segment {
  const whole = ipPacket(anyIp(c, family), anyIp(c, family), anyTransport(c), anyShape(c, family))
  return anErrorAbout(c, family, whole)
}

function anErrorAbout(c: Chance, family: Family, packet: Buffer): Segment {
  const type = family === 4 ? c.of(3, 4, 5, 11, 12) : c.of(1, 2, 3, 4)
  return icmpError(type, c.below(5), packet.subarray(0, c.of(packet.length, 28, 48, 20, 40, c.below(64))))
}

const anyNeighbour = (c: Chance) => icmp(c.of(133, 134, 135, 136, 137), 0, Buffer.alloc(20))

function anyShape(c: Chance, family: Family): Parameters<typeof ipPacket>[3] {
  const id = c.of(1, 2, 0x10203)
  const fragment = { id: family === 4 ? id & 0xffff : id, offset: c.of(0, 0, 1, 185), more: c.of(true, false) }
  const shape = { ...(c.rarely(8) && { fragment }), ...(c.rarely(12) && { options: Buffer.alloc(4 * c.below(11), 1) }) }
  if (family === 4 || !c.rarely(6)) return shape
  const extension = (): Extension => (c.rarely(5) ? { header: 44, fragment } : { header: c.of(0, 43, 60), units: c.below(3) })
  return { ...shape, extensions: Array.from({ length: 1 + c.below(5) }, extension) }
}

/** From where to where, at which program, and what. */
interface Going {
  readonly program: PacketProgram
  readonly pod: t.Pod
  readonly ends: readonly [Ip, Ip]
  readonly segment: Segment
}

/** A packet at one of the programs, mostly of those that could get there. */
export function anyPacket(c: Chance, world: World): t.Packet {
  const going = (c.rarely(3) ? followUp(c, world) : undefined) ?? somewhere(c)
  const { program, pod, segment } = going
  const [source, destination] = going.ends
  const family = familyOf(destination)
  const ifIndex = c.rarely(30) ? c.of(...(t.devices as [number, ...number[]])) : program === 'eni_in' ? pod.eni : pod.ifIndex
  const fromMac = program === 'pod_in' && !c.rarely(40) ? pod.mac : parseMac('ee:ff:ff:ff:ff:ff')
  const whole = framed(fromMac, pod.hostMac, ipPacket(source, destination, segment, anyShape(c, family)))
  const packet = c.rarely(15) ? damaged(c, whole) : whole
  const gsoSize = c.rarely(20) ? c.of(100, 1400, 1460, 1500) : 0
  const ingressIfIndex = program === 'pod_out' && c.rarely(4) ? 0 : pod.eni
  return {
    program,
    arrival: { packet, ifIndex, ingressIfIndex, gsoSize, mark: c.rarely(10) ? c.of(ownMark, 5, ownMark + 1) : 0, time: c.of(0n, 77n) },
  }
}

function somewhere(c: Chance): Going {
  const family = c.of(4, 6) as Family
  const program = c.of('pod_in', 'pod_in', 'eni_in', 'pod_out') as PacketProgram
  const pod = c.of(t.pod1, t.pod2, t.pod3)
  const own = c.rarely(15) ? anyIp(c, family) : pod.ip[family]
  if (program === 'pod_in' && c.rarely(3)) {
    const { ip, segment } = asks(c, family, anyTransportOf)
    return { program, pod, ends: [own, ip], segment }
  }
  const other = anyIp(c, family)
  const segment = c.rarely(12) ? anyError(c, family) : family === 6 && c.rarely(20) ? anyNeighbour(c) : anyTransport(c)
  return { program, pod, ends: program === 'pod_in' ? [own, other] : [other, own], segment }
}

/** One more packet of a flow that is known, or an error about one. */
function followUp(c: Chance, world: World): Going | undefined {
  const flow = flowIn(c, world)
  if (flow === undefined) return undefined
  const { pod, local, remote, protocol } = flow
  const family = familyOf(local.ip)
  const podSends = c.rarely(2)
  const program: PacketProgram = podSends ? 'pod_in' : c.of('eni_in', 'pod_out')
  const [from, to] = podSends ? [local, remote] : [remote, local]
  if (!c.rarely(6)) return { program, pod, ends: [from.ip, to.ip], segment: anyTransportOf(c, protocol, from.port, to.port) }
  const carried = ipPacket(to.ip, from.ip, anyTransportOf(c, protocol, to.port, from.port), c.rarely(4) ? anyShape(c, family) : {})
  return { program, pod, ends: [c.rarely(2) ? anyIp(c, family) : from.ip, to.ip], segment: anErrorAbout(c, family, carried) }
}

function damaged(c: Chance, packet: Buffer): Buffer {
  switch (c.below(5)) {
    case 0:
      // The kernel runs no program on less than the fixed header of IP.
      return packet.subarray(0, Math.max(packet.readUInt16BE(12) === etherTypes.ipv6 ? 54 : 34, c.below(packet.length)))
    case 1:
      return Buffer.concat([packet, Buffer.alloc(c.below(40))])
    case 2:
      return frame(
        parseMac('02:00:00:00:00:11'),
        parseMac('ff:ff:ff:ff:ff:ff'),
        c.of(etherTypes.arp, etherTypes.vlan, 0x88cc),
        packet.subarray(14),
      )
    default: {
      const copy = Buffer.from(packet)
      copy[14 + c.below(Math.min(copy.length - 14, 60))] = c.below(256)
      return copy
    }
  }
}

function anyMode(c: Chance): number {
  if (c.rarely(6)) return c.below(32)
  const forwards = c.rarely(5) ? mode.guard : mode.guard | mode.forward | (c.rarely(2) ? 0 : mode.policy) | (c.rarely(6) ? mode.learn : 0)
  return forwards | (c.rarely(4) ? 0 : mode.service) | (c.rarely(4) ? mode.monitor : 0)
}

function anyEndpoint(c: Chance, pod: t.Pod): Change {
  const without4 = c.rarely(12) ? { address4: undefined, gateway4: undefined } : c.rarely(12) ? { gateway4: undefined } : {}
  const without6 = c.rarely(12) ? { address6: undefined, gateway6: undefined } : {}
  const flags = c.rarely(5) ? endpointFlag.shaped : 0
  const incarnation = c.rarely(10) ? pod.incarnation + 0x100 : pod.incarnation
  return t.endpointOf(pod, { flags, incarnation, mtu: c.of(1500, 1400), outMtu: c.of(1500, 1300), ...without4, ...without6 })
}

function anyAddress(c: Chance, pod: t.Pod, family: Family): Change {
  const address = t.addressOf(pod, family, c.rarely(10) ? { state: addressState.stack } : {})
  return c.rarely(20) ? { ...address, value: undefined } : address
}

function anyPolicy(c: Chance, pod: t.Pod): Change {
  const change = row(
    'endpoint_policies',
    { ifIndex: pod.ifIndex },
    { policy: c.of(1, 2), revision: c.below(4), enforce: c.of(0, 1, 2, 3, 3) },
  )
  return c.rarely(4) ? { ...change, value: undefined } : change
}

function anyRule(c: Chance): Change {
  const prefixLength = c.of(72, 80, 96, 80 + c.below(17))
  const key = { prefixLength, policy: c.of(1, 2), identity: c.of(0, 1, 2, 100, 101), direction: c.of(direction.in, direction.out) }
  const narrow = { ...(prefixLength >= 80 && { protocol: c.of(6, 17, 132, 1, 58) }), ...(prefixLength > 80 && { port: anyPort(c) }) }
  return prefixRow('policies', { ...key, ...narrow }, { verdict: c.rarely(5) ? verdict.deny : verdict.allow })
}

/** Tables of connections are being replaced until then. */
function movingUntil(time: number): Change {
  return row('service_states', { index: serviceWord.movingUntil }, { value: BigInt(time >>> 0) })
}

/** What a process could write at any time. */
export function anyChange(c: Chance, now: number): Change[] {
  const pod = c.of(t.pod1, t.pod2, t.pod3)
  const family = c.of(4, 6) as Family
  switch (c.below(13)) {
    case 0:
      return [t.modeIs(anyMode(c))]
    case 1:
      return [anyEndpoint(c, pod)]
    case 2:
      return [anyAddress(c, pod, family)]
    case 3:
      return [anyPolicy(c, pod), ...(c.rarely(4) ? [] : [t.policiesAre(c.below(1000))])]
    case 4: {
      const ip = c.of(t.remote, t.otherRemote, t.pod1.ip, t.node)[family]
      return [t.identityIs(ip, family === 4 ? c.of(32, 24, 8) : c.of(128, 64, 32), c.of(1, 100, 101))]
    }
    case 5:
      return [t.inHostSet(stranger[family], family === 4 ? 32 : 128, c.of(...(Object.keys(hostReason) as [keyof typeof hostReason])))]
    case 6:
      return (c.rarely(2) ? anyTaken : anyAsked)(c, pod, family, now)
    case 7:
      return [anyRule(c)]
    case 8:
      if (c.rarely(3)) return [movingUntil(now + c.of(-1, 1, 200, 10_000))]
      return [c.rarely(3) ? t.limitIs(c.of(1, 20, 1000)) : t.limitIs(0), t.countIs(pod, c.below(30))]
    default:
      return anyServiceChange(c, family)
  }
}

export function anyNode(c: Chance, now: number): Change[] {
  const changes = Array.from({ length: 60 }, () => anyChange(c, now)).flat()
  const credit = c.rarely(2) ? [t.creditIs()] : []
  return [
    ...t.nodeRows(),
    t.nodeIs(),
    ...credit,
    ...anyServices(c),
    ...changes,
    ...t.pods.map(pod => anyPolicy(c, pod)),
    t.modeIs(anyMode(c)),
  ]
}
