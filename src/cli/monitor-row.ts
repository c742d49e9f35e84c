// SPDX-License-Identifier: Apache-2.0
import { nameOf, type PodNames, protocolName } from '#cli/node-view.ts'
import type { Event } from '#kernel/bpf/ring.ts'
import { dropReasons, eventFlag, hook, path } from '#kernel/bpf/words.ts'
import { withPort } from '#net/ip.ts'

/** One packet that programs told of, or one system call that named a Service. */
export interface EventRow {
  /** As in ISO 8601. */
  readonly time: string
  readonly verdict: 'dropped' | 'passed' | 'translated' | 'refused'
  /** Why it was dropped or refused, which way it went, or which call was translated: `connect` or `sendmsg`. */
  readonly what: string
  /** Which program had it. */
  readonly hook: string
  readonly ifIndex: number
  /** Whose system call it was. */
  readonly process?: { readonly pid: number; readonly name: string }
  /** At whose host end that was. */
  readonly pod?: string
  readonly protocol: string
  /** Of TCP. */
  readonly flags?: string
  readonly source: string
  readonly sourcePod?: string
  readonly destination: string
  readonly destinationPod?: string
  /** Of the Service that it was translated for. */
  readonly frontend?: string
  /** The first packet of its flow to a Service, or its system call. */
  readonly first: boolean
  /** Not of a system call. */
  readonly bytes?: number
}

/** What names are told by. */
export interface EventNames {
  /** By address. */
  readonly pods: PodNames
  /** By the number of the host end. */
  readonly endpoints: ReadonlyMap<number, string>
  readonly frontends: ReadonlyMap<number, string>
  /** When the machine was started: milliseconds since the epoch. */
  readonly boot: number
}

/** Which events are shown; what is not said does not narrow it. */
export interface EventFilter {
  readonly drops: boolean
  readonly reason?: string
  /** namespace/name, on either side or at whose host end it was. */
  readonly pod?: string
}

const tcp = 6
const withPorts: readonly number[] = [tcp, 17, 132]
const tcpFlags = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16 } as const

export function eventRow(e: Event, names: EventNames): EventRow {
  const [pod, sourcePod, destinationPod] = [names.endpoints.get(e.endpoint), podAt(e.source, names), podAt(e.destination, names)]
  return {
    time: new Date(names.boot + Number(e.time / 1_000_000n)).toISOString(),
    ...verdictOf(e),
    hook: nameOf(hook, e.hook),
    ifIndex: e.ifIndex,
    ...(isCall(e) && { process: { pid: e.pid, name: e.task } }),
    ...(pod !== undefined && { pod }),
    protocol: e.source === undefined && !isCall(e) ? 'not read' : protocolName(e.protocol),
    ...(e.protocol === tcp && !isCall(e) && { flags: flagNames(e.tcpFlags) }),
    source: side(e.source, e.sourcePort, e.protocol),
    ...(sourcePod !== undefined && { sourcePod }),
    destination: side(e.destination, e.destinationPort, e.protocol),
    ...(destinationPod !== undefined && { destinationPod }),
    ...(e.frontend !== 0 && { frontend: names.frontends.get(e.frontend) ?? `number ${e.frontend}` }),
    first: (e.flags & eventFlag.first) !== 0,
    ...(!isCall(e) && { bytes: e.length }),
  }
}

function isCall(e: Event): boolean {
  return e.hook === hook.socket
}

function verdictOf(e: Event): Pick<EventRow, 'verdict' | 'what'> {
  if (e.reason !== 0) return { verdict: isCall(e) ? 'refused' : 'dropped', what: nameOf(dropReasons, e.reason) }
  if (!isCall(e)) return { verdict: 'passed', what: nameOf(path, e.path) }
  return { verdict: 'translated', what: (e.flags & eventFlag.datagram) === 0 ? 'connect' : 'sendmsg' }
}

function side(ip: Event['source'], port: number, protocol: number): string {
  if (ip === undefined) return '-'
  return withPorts.includes(protocol) ? withPort(ip, port) : ip
}

function podAt(ip: Event['source'], { pods }: EventNames): string | undefined {
  return ip === undefined ? undefined : pods.get(ip)
}

function flagNames(bits: number): string {
  return Object.entries(tcpFlags)
    .flatMap(([name, bit]) => ((bits & bit) === 0 ? [] : [name]))
    .join(' ')
}

export function isWanted(row: EventRow, { drops, reason, pod }: EventFilter): boolean {
  return (
    (isRefusal(row) || (!drops && reason === undefined)) &&
    (reason === undefined || row.what === reason) &&
    (pod === undefined || [row.pod, row.sourcePod, row.destinationPod].includes(pod))
  )
}

function isRefusal({ verdict }: EventRow): boolean {
  return verdict === 'dropped' || verdict === 'refused'
}

/** `12:34:56.789 dropped policy-egress at podIn: default/a 10.0.1.5:4000 -> 198.51.100.1:80 TCP SYN, 74 bytes`. */
export function eventLine(row: EventRow): string {
  const side = (name: string, pod: string | undefined) => (pod === undefined ? name : `${pod} ${name}`)
  const isAside = row.pod !== undefined && row.pod !== row.sourcePod && row.pod !== row.destinationPod
  const place = `${row.hook}${isAside ? ` of ${row.pod}` : ''}`
  const what = [row.protocol, row.flags].filter(word => word !== undefined && word !== '').join(' ')
  const service = row.frontend === undefined ? '' : `, Service ${row.frontend}`
  const more = row.bytes === undefined ? service : `, ${row.bytes} bytes${service}${service !== '' && row.first ? ', first packet' : ''}`
  const from = row.process === undefined ? side(row.source, row.sourcePod) : `${row.process.name} (${row.process.pid})`
  return `${row.time.slice(11, 23)} ${row.verdict} ${row.what} at ${place}: ${from} -> ${side(row.destination, row.destinationPod)} ${what}${more}`
}
