// SPDX-License-Identifier: Apache-2.0
import { mode } from '#kernel/bpf/words.ts'
import { type Ip, toBytes } from '#net/ip.ts'
import { type Flow, remoteBegan } from './flow.ts'
import { type Carried, ethernet, protocols, type Read } from './read.ts'
import type { Step } from './step.ts'

/** Another source or destination of a packet, or of the packet that an ICMP error carries. */
export interface Rewrite {
  readonly which: 'source' | 'destination'
  readonly ip: Ip
  readonly port: number
}

/** Where a checksum is in a frame, and all that it covers, as words of 16 bits before and after. */
interface Checksum {
  readonly at: number
  readonly covers: (frame: Buffer) => Uint8Array
  /** UDP: 0 means that there is none, and is written as 65535. */
  readonly optional?: boolean
}

const checksumAt: Readonly<Record<number, number>> = { [protocols.tcp]: 16, [protocols.udp]: 6 }

/** The packet afterwards; undefined when it cannot be translated. */
export function translated(frame: Buffer, packet: Read, { which, ip, port }: Rewrite): Buffer | undefined {
  const { family, protocol, at, fragment, ports } = packet
  const later = fragment?.later === true
  // The sum of SCTP covers its whole payload.
  if (protocol === protocols.sctp && port !== ports[which]) return undefined
  const sums = headerSum(family, ethernet)
  const l4 = protocol === protocols.icmp6 && family === 6 ? 2 : checksumAt[protocol]
  if (l4 !== undefined && !later) sums.push({ at: ethernet + at + l4, covers: withAddresses(packet), optional: protocol === protocols.udp })
  return rewritten(frame, sums, copy => {
    copy.set(toBytes(ip), ethernet + addressAt(family, which))
    if (checksumAt[protocol] !== undefined && !later) copy.writeUInt16BE(port, ethernet + at + (which === 'source' ? 0 : 2))
  })
}

/** One hop later; undefined when there is none left. */
export function oneHopLess(frame: Buffer, { family }: Read): Buffer | undefined {
  const at = ethernet + (family === 4 ? 8 : 7)
  const hops = frame[at] ?? 0
  return hops <= 1 ? undefined : rewritten(frame, headerSum(family, ethernet), copy => copy.writeUInt8(hops - 1, at))
}

/** The error afterwards: its own checksum and that of the header inside stay right, that of the transport inside is as it was sent. */
export function translatedInside(frame: Buffer, packet: Read, carried: Carried, { which, ip, port }: Rewrite): Buffer {
  const { family, at } = packet
  const inner = ethernet + at + 8
  const sums = [...headerSum(family, inner), { at: ethernet + at + 2, covers: withAddresses(packet) }]
  const done = rewritten(frame, sums, copy => {
    copy.set(toBytes(ip), inner + addressAt(family, which))
    if (carried.portsAt !== undefined) copy.writeUInt16BE(port, inner + carried.portsAt + (which === 'source' ? 0 : 2))
  })
  if (done === undefined) throw new Error('an ICMP error has a checksum')
  return done
}

function addressAt(family: Read['family'], which: Rewrite['which']): number {
  const [source, destination] = family === 4 ? [12, 16] : [8, 24]
  return which === 'source' ? source : destination
}

function headerSum(family: Read['family'], at: number): Checksum[] {
  return family === 6 ? [] : [{ at: at + 10, covers: frame => frame.subarray(at, at + 20) }]
}

/** The addresses and all from the transport on; what else a checksum covers does not change. ICMP for IPv4 does not cover the addresses. */
function withAddresses({ family, protocol, at }: Read): Checksum['covers'] {
  const [from, to] = family === 4 ? [12, 20] : [8, 40]
  return frame => {
    const addresses = protocol === protocols.icmp && family === 4 ? [] : [frame.subarray(ethernet + from, ethernet + to)]
    return Buffer.concat([...addresses, frame.subarray(ethernet + at)])
  }
}

/** Both sums are made of everything: a checksum that was right is right afterwards, and one that was wrong is as wrong as before. */
function rewritten(frame: Buffer, sums: readonly Checksum[], write: (copy: Buffer) => void): Buffer | undefined {
  if (sums.some(({ at }) => at + 2 > frame.length)) return undefined
  const copy = Buffer.from(frame)
  write(copy)
  // From inside out: the sum of an error covers that of the header inside.
  for (const { at, covers, optional = false } of sums) {
    const old = frame.readUInt16BE(at)
    if (optional && old === 0) continue
    const blank = (of: Buffer) => {
      const without = Buffer.from(of)
      without.writeUInt16BE(0, at)
      return sum(covers(without))
    }
    const value = (old + blank(frame) - blank(copy) + 65535) % 65535
    copy.writeUInt16BE(optional && value === 0 ? 65535 : value, at)
  }
  return copy
}

/** Ones' complement: modulo 65535. */
function sum(bytes: Uint8Array): number {
  let all = 0
  for (let i = 0; i < bytes.length; i += 2) all += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)
  return all % 65535
}

/** Translates the packet of a step: how it reads afterwards, or undefined when that failed. */
export function rewrite(step: Step, packet: Read, to: Rewrite): Read | undefined {
  const frame = translated(step.frame, packet, to)
  if (frame === undefined) return undefined
  step.frame = frame
  return { ...packet, [to.which]: to.ip, ports: { ...packet.ports, [to.which]: to.port } }
}

/** Gives a packet the source that its frontend has; false when that failed. */
export function showFrontend(step: Step, packet: Read, frontend: number): boolean {
  const front = step.draft.get('frontends', { frontend })
  return front?.ip !== undefined && rewrite(step, packet, { which: 'source', ip: front.ip, port: front.port }) !== undefined
}

/** The receiver's view of what it gets: from whom it asked, when its own word was translated. */
export function showAsked(step: Step, packet: Read, flow: Flow): boolean {
  const asked = step.has(mode.service) && !remoteBegan(flow) && flow.frontend !== 0
  return !asked || showFrontend(step, packet, flow.frontend)
}
