// SPDX-License-Identifier: Apache-2.0
import type { MapName } from '#kernel/bpf/maps.ts'
import { control, dropReasons, endpointFlag, type mode, ownMark, path } from '#kernel/bpf/words.ts'
import { type Ip, isIpv4, parseIp, toBytes } from '#net/ip.ts'
import { macToBytes } from '#net/mac.ts'
import type { Change, KeyOf, RowValue, World } from '../world.ts'
import { Draft } from './draft.ts'
import type { Moment } from './flow.ts'
import type { Ports, Read } from './read.ts'

/** A packet at the door of a program. */
export interface Arrival {
  readonly packet: Buffer
  readonly ifIndex: number
  /** Where it came into the machine; 0 = made here. */
  readonly ingressIfIndex?: number
  readonly mark?: number
  /** When it is to be sent, or was received. */
  readonly time?: bigint
  readonly gsoSize?: number
}

/** What a program did: only for what it decides by chance. */
export interface Observed {
  /** Reason of the drop, else 0. */
  readonly reason: number
  /** A row after the run. */
  row<N extends MapName>(map: N, key: Partial<KeyOf<N>>): RowValue<N> | undefined
}
export const nothingSeen: Observed = { reason: 0, row: () => undefined }

/** What a program has to do with it. */
export interface Outcome {
  readonly verdict: 'pass' | 'drop' | 'redirect'
  /** Why it was dropped, or refused with an answer; else 0. */
  readonly reason: number
  /** undefined: not counted. */
  readonly path: number | undefined
  /** Of a redirect. */
  readonly target: number
  readonly packet: Buffer
  readonly mark: number
  readonly time: bigint
  readonly changes: readonly Change[]
  /** Packets counted for endpoints. */
  readonly counted: readonly { readonly ifIndex: number; readonly way: 'tx' | 'rx' }[]
}

export type Endpoint = RowValue<'endpoints'>

/** One packet on its way through a program, and the outcomes that there are. */
export class Step {
  readonly arrival: Arrival
  readonly draft: Draft
  readonly now: number
  readonly mode: number
  readonly seen: Observed
  /** The packet as it is by now. */
  frame: Buffer
  #counted: Outcome['counted'] = []

  constructor(world: World, arrival: Arrival, now: number, seen: Observed = nothingSeen) {
    this.arrival = arrival
    this.frame = arrival.packet
    this.seen = seen
    this.draft = new Draft(world)
    this.now = now
    this.mode = Number(this.draft.get('control', { index: control.mode })?.value ?? 0n)
  }

  has(bit: (typeof mode)[keyof typeof mode]): boolean {
    return (this.mode & bit) !== 0
  }

  /** What chance decides: the one of the allowed options that is seen afterwards; when none of them is, the first. */
  pick<T>(options: readonly [T, ...T[]], isSeen: (option: T, seen: Observed) => boolean): T {
    return options.find(option => isSeen(option, this.seen)) ?? options[0]
  }

  moment(packet: Read): Moment {
    return { draft: this.draft, now: this.now, length: this.arrival.packet.length, packet }
  }

  /** Of one segment, without the Ethernet header. */
  size(packet: Read): number {
    const { gsoSize = 0, packet: bytes } = this.arrival
    return gsoSize > 0 ? gsoSize + packet.headers : bytes.length - 14
  }

  count(ifIndex: number, way: 'tx' | 'rx'): void {
    this.#counted = [...this.#counted, { ifIndex, way }]
  }

  #outcome(more: Pick<Outcome, 'verdict'> & Partial<Outcome>): Outcome {
    const { mark = 0, time = 0n } = this.arrival
    const same = { packet: this.frame, mark, time, changes: this.draft.changes(), counted: this.#counted }
    return { reason: 0, path: undefined, target: 0, ...same, ...more }
  }

  /** On to the host stack, not counted. */
  ignore(mark = this.arrival.mark ?? 0): Outcome {
    return this.#outcome({ verdict: 'pass', mark })
  }

  pass(way: keyof typeof path): Outcome {
    return this.#outcome({ verdict: 'pass', path: path[way] })
  }

  drop(why: keyof typeof dropReasons): Outcome {
    return this.dropFor(dropReasons[why])
  }

  dropFor(reason: number): Outcome {
    // A dropped packet counts for no endpoint.
    this.#counted = []
    return this.#outcome({ verdict: 'drop', reason })
  }

  /** Out through a device, by the neighbour table. */
  sendOut(target: number, way: keyof typeof path): Outcome {
    return this.#outcome({ verdict: 'redirect', path: path[way], target, mark: 0, time: 0n })
  }

  /** Refused: the answer goes to a device, and the packet is counted as dropped. */
  answer(why: keyof typeof dropReasons, packet: Buffer, target: number, mark: number): Outcome {
    this.#counted = []
    return this.#outcome({ verdict: 'redirect', reason: dropReasons[why], packet, target, mark, time: 0n })
  }

  /** Into a pod. */
  deliver(ifIndex: number, endpoint: Endpoint, way: keyof typeof path): Outcome {
    this.count(ifIndex, 'rx')
    const packet = Buffer.from(this.frame)
    if (endpoint.podMac !== undefined) packet.set(macToBytes(endpoint.podMac), 0)
    if (endpoint.hostMac !== undefined) packet.set(macToBytes(endpoint.hostMac), 6)
    const shaped = (endpoint.flags & endpointFlag.shaped) !== 0
    return this.#outcome({
      verdict: 'redirect',
      path: shaped ? path.shaped : path[way],
      target: ifIndex,
      packet,
      mark: shaped ? ownMark : 0,
      time: 0n,
    })
  }

  /** The ports of a later fragment, learned from the first, which says them here; undefined when that was not seen. */
  portsOf({ source, destination, protocol, ports, fragment }: Read): Ports | undefined {
    if (fragment === undefined) return ports
    const key = { source, destination, id: fragment.id, protocol, spare0: 0, spare1: 0 }
    if (fragment.later) {
      const first = this.draft.get('fragments', key)
      return first && { source: first.sourcePort, destination: first.destinationPort }
    }
    this.draft.put('fragments', key, { sourcePort: ports.source, destinationPort: ports.destination, seen: this.now })
    return ports
  }
}

function inPrefix(ip: Ip, prefix: Ip, length: number): boolean {
  const bits = (of: Ip) => Array.from(toBytes(of), b => b.toString(2).padStart(8, '0')).join('')
  return isIpv4(ip) === isIpv4(prefix) && bits(ip).slice(0, length) === bits(prefix).slice(0, length)
}

const [linkLocal4, multicast4] = [parseIp('169.254.0.0'), parseIp('224.0.0.0')]
const [linkLocal6, multicast6] = [parseIp('fe80::'), parseIp('ff00::')]
export const unspecified6 = parseIp('::')

export function isLinkLocal(address: Ip): boolean {
  return inPrefix(address, linkLocal4, 16) || inPrefix(address, linkLocal6, 10)
}

export function isMulticast(address: Ip): boolean {
  return inPrefix(address, multicast4, 4) || inPrefix(address, multicast6, 8)
}
