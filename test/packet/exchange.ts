// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mode } from '#kernel/bpf/words.ts'
import type { Family, Ip } from '#net/ip.ts'
import { protocols, type Segment, sctp, tcp, udp } from './build.ts'
import { read } from './oracle/read.ts'
import { now } from './run.ts'
import { type Backend, backendIs, type Frontend, serviceIs, setIs } from './services.ts'
import * as t from './topology.ts'
import type { Change } from './world.ts'

/** What Services have in common in the cases: one protocol after the other, a client's port, a frontend and its backends. */
export interface Kind {
  readonly name: string
  readonly protocol: number
  /** Of the frontend and of its backends: SCTP keeps it. */
  readonly port: number
  readonly target: number
  first(source: number, destination: number): Segment
  next(source: number, destination: number): Segment
  answer(source: number, destination: number): Segment
}

const tcpOf = (flags: string) => (source: number, destination: number) => tcp(source, destination, flags, { data: Buffer.from('odd') })
const udpOf = (source: number, destination: number) => udp(source, destination, Buffer.from('odd'))
const sctpOf = (source: number, destination: number) => sctp(source, destination, Buffer.from('odd'))
export const kinds = {
  TCP: { name: 'TCP', protocol: protocols.tcp, port: 80, target: 8080, first: tcpOf('S'), next: tcpOf('A'), answer: tcpOf('SA') },
  UDP: { name: 'UDP', protocol: protocols.udp, port: 53, target: 5353, first: udpOf, next: udpOf, answer: udpOf },
  SCTP: { name: 'SCTP', protocol: protocols.sctp, port: 9899, target: 9899, first: sctpOf, next: sctpOf, answer: sctpOf },
} as const satisfies Record<string, Kind>

export const client = 40000

/** Backends numbered from 1 on; set 1 has them all. */
export function backendsAt(kind: Kind, ips: readonly Ip[], first = 1): Backend[] {
  return ips.map((ip, i) => ({ id: first + i, ip, port: kind.target, protocol: kind.protocol }))
}

/** A Service at t.service with frontend 1 and set 1, unless said otherwise. */
export function serviceOf(kind: Kind, family: Family, ips: readonly Ip[], more: Partial<Frontend> = {}): Change[] {
  const backends = backendsAt(kind, ips)
  const { port, protocol } = kind
  return [
    ...serviceIs({ ip: t.service[family], port, protocol, frontend: 1, set: 1, ...more }),
    ...backends.map(backendIs),
    ...setIs(
      1,
      backends.map(({ id }) => id),
    ),
  ]
}

/** A node in full work without kube-proxy. */
export function serviceNode(value = t.everything | mode.service): Change[] {
  return [...t.nodeRows(), t.nodeIs(), t.modeIs(value)]
}

/** From where to where a packet goes. */
export function ends(packet: Buffer, gsoSize = 0): string {
  const it = read(packet, gsoSize)
  assert.ok(it.is === 'packet')
  return `${at(it.source, it.ports.source)} > ${at(it.destination, it.ports.destination)}`
}

/** The same of the packet that an ICMP error carries. */
export function endsInside(packet: Buffer): string {
  const it = read(packet, 0)
  assert.ok(it.is === 'packet' && it.carried !== undefined)
  const { source, destination, ports } = it.carried
  return `${at(source, ports.source)} > ${at(destination, ports.destination)}`
}

const at = (ip: Ip, port: number) => `${ip} ${port}`
export const way = (from: Ip, fromPort: number, to: Ip, toPort: number) => `${at(from, fromPort)} > ${at(to, toPort)}`

/** `seen` of so many seconds ago; negative: to come. */
export const ago = (seconds: number) => (now() - Math.round((seconds * 1e9) / 2 ** 20)) >>> 0
