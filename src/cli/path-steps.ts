// SPDX-License-Identifier: Apache-2.0
import type { FlowRow } from '#cli/ct-rows.ts'
import { modeWords } from '#cli/datapath-status.ts'
import type { Seen } from '#cli/path-watch.ts'
import type { Attempt, Protocol } from '#cli/probe.ts'
import { type Tree, treeLines } from '#cli/tree.ts'
import { mode } from '#kernel/bpf/words.ts'
import { withPort } from '#net/ip.ts'

/** What was found of the way from a pod to a destination. */
export interface PathFound {
  readonly pod: string
  readonly address: string
  readonly destination: string
  /** What the destination was called, when it was not its address. */
  readonly named?: string
  /** Undefined where no port was asked for. */
  readonly port?: number
  /** Undefined where any will do. */
  readonly protocol?: Protocol
  /** The word that every program reads first; undefined without programs. */
  readonly mode: number | undefined
  /** The pod's host end, and how the programs have the pod. */
  readonly device: string
  readonly state: string
  /** The device of the pod's ENI. */
  readonly eni?: string
  /** The pod has this ENI for itself: what it sends is seen by no program, but for what goes by its host end. */
  readonly ownEni?: string
  /** Whose address the destination is. */
  readonly service?: string
  /** The newest of the pod's flows there: the choice of a backend, and the way itself. */
  readonly choice?: FlowRow
  readonly flow?: FlowRow
  /** Of the flow's other side, when it is a pod of this node. */
  readonly peer?: string
  /** Why what is sent there belongs to the host stack, whatever the flow. */
  readonly hostReason?: string
  readonly attempt?: Attempt
  /** What the programs told of its packets; undefined where they tell nothing. */
  readonly seen?: readonly Seen[]
  /** By name: packets that the programs counted during the attempt, by their way or as dropped. */
  readonly counted: Readonly<Record<string, number>>
}

export function stepLines(found: PathFound): string[] {
  const { pod, address, destination, port, protocol, named } = found
  const children = [...attemptSteps(found), ...waySteps(found), ...seenSteps(found), ...verdictSteps(found), ...countSteps(found)]
  const to = port === undefined ? destination : withPort(destination, port)
  const details = [...(protocol === undefined ? [] : [protocol.toUpperCase()]), ...(named === undefined ? [] : [`named ${named}`])]
  const more = details.length === 0 ? '' : ` (${details.join(', ')})`
  const root: Tree = { text: `${pod} ${address} -> ${to}${more}`, children: children.map(text => ({ text })) }
  return treeLines([root])
}

function attemptSteps({ attempt, protocol }: PathFound): string[] {
  if (attempt === undefined) return []
  const { outcome, milliseconds, localPort } = attempt
  const from = localPort === undefined ? '' : ` ${protocol === 'icmp' ? 'with identifier' : 'from port'} ${localPort}`
  return [`tried${from}: ${outcome} after ${milliseconds} ms`]
}

function waySteps(found: PathFound): string[] {
  const { mode: word, device, state, flow, choice } = found
  if (found.ownEni !== undefined) return ownSteps(found, found.ownEni)
  if (word === undefined || (word & (mode.forward | mode.service)) === 0)
    return [`leaves by ${device} into the host stack, which carries everything on this node (${modeWords(word)})`]
  const begin = `leaves by ${device}, whose programs have the pod as ${state} (${modeWords(word)})`
  if (flow === undefined && choice === undefined) return [begin, ...serviceSteps(found), unknown(found)]
  return [begin, ...serviceSteps(found), ...(flow === undefined ? ['no flow to a backend is known'] : flowSteps(found, flow))]
}

/** Sockets are translated before there is a packet. */
function ownSteps({ device, service, hostReason, mode: word = 0 }: PathFound, ownEni: string): string[] {
  if (hostReason !== undefined) return [`leaves by its pair to the node, ${device}: ${hostReason}`]
  const direct = `leaves by its own ENI ${ownEni}, past the node`
  if (service === undefined) return [direct]
  const translated = `an address of Service ${service}, in whose place its socket talks to a backend`
  return [
    (word & mode.service) === 0 ? `an address of Service ${service}, which nobody translates for pods of this node` : translated,
    direct,
  ]
}

function serviceSteps({ service, choice, flow }: PathFound): string[] {
  const frontend = choice?.frontend ?? flow?.frontend
  if (frontend === undefined) return service === undefined ? [] : [`an address of Service ${service}`]
  return [`translated: Service ${service ?? '(its name is not known)'}, ${frontend}`]
}

function flowSteps(found: PathFound, flow: FlowRow): string[] {
  // An echo has an identifier instead of ports.
  const to = flow.protocol.startsWith('ICMP') ? flow.remote : withPort(flow.remote, flow.remotePort)
  const sent = `${flow.txPackets} packet${flow.txPackets === 1 ? '' : 's'}`
  const traffic = `${flow.state}, sent ${sent}, received ${flow.rxPackets}, idle for ${flow.idleSeconds} s`
  return [`to ${found.peer === undefined ? to : `${found.peer} ${to}`}: ${wayOf(found, flow)}`, traffic]
}

function wayOf({ peer, hostReason, eni = 'its ENI' }: PathFound, { way, state }: FlowRow): string {
  if (state === 'denied') return 'dropped'
  if (way === 'host') return `through the host stack${hostReason === undefined ? '' : `: ${hostReason}`}`
  return peer === undefined ? `past the host stack, out by ${eni}` : 'past the host stack, directly into the pod'
}

/** Nothing was sent lately, or what was leaves no flow. */
function unknown({ hostReason, attempt, service }: PathFound): string {
  if (hostReason !== undefined) return `no flow is known; it goes through the host stack: ${hostReason}`
  if (attempt === undefined) return 'no flow is known: nothing was sent there lately (--probe tries it)'
  return service === undefined ? 'no flow is known' : 'no flow is known: no backend was chosen'
}

/** Requests before answers. Not every packet is told of, but each drop that is the first for some time. */
function seenSteps({ seen = [] }: PathFound): string[] {
  return [false, true].flatMap(answers => {
    const some = seen.filter(s => s.answers === answers)
    const words = some.map(s => `${s.verdict === 'dropped' ? 'dropped for ' : ''}${s.what} at ${s.hook} ${s.packets}`)
    return some.length === 0 ? [] : [`${answers ? 'answers' : 'its packets'}, as the programs told of them: ${words.join(', ')}`]
  })
}

/** Where what came to nothing has ended, as far as this node can tell. */
function verdictSteps(found: PathFound): string[] {
  const drop = found.seen?.find(s => s.verdict === 'dropped')
  switch (found.attempt?.outcome) {
    case 'ECONNREFUSED':
      return [drop === undefined ? 'refused by the other side: nobody listens there' : `refused by this node: ${drop.what} at ${drop.hook}`]
    case 'ETIMEDOUT':
    case 'no answer':
      return silenceSteps(found, drop)
    default:
      return []
  }
}

function silenceSteps({ seen, flow, peer, eni = 'its ENI', ownEni, hostReason }: PathFound, drop: Seen | undefined): string[] {
  if (drop !== undefined)
    return [`dropped by this node: ${drop.what} at ${drop.hook}, ${drop.answers ? 'on the way back' : 'on the way out'}`]
  if (ownEni !== undefined && hostReason === undefined) return [`not dropped by this node: sent out by ${ownEni}, and nothing came back`]
  if (flow?.state === 'denied') return ['dropped by this node: the flow is denied']
  if (flow !== undefined && flow.rxPackets > 0) return ['answers reached the pod, and its socket did not take them']
  if (flow?.way === 'direct') {
    const last = peer === undefined ? `sent out by ${eni}, and nothing came back` : `delivered to ${peer}, which did not answer`
    return [`not dropped by this node: ${last}`]
  }
  if (flow !== undefined || seen?.some(s => s.verdict === 'passed') === true)
    return [
      "not dropped by the programs: given to the host stack, and nothing came back (the host's firewall and routes are not looked at)",
    ]
  return [
    seen === undefined ? 'no program tells of it: the host stack has it (conntrack -L, nft list ruleset)' : 'no packet of it left the pod',
  ]
}

function countSteps({ attempt, counted }: PathFound): string[] {
  const all = Object.entries(counted).map(([name, packets]) => `${name} ${packets}`)
  return attempt === undefined || all.length === 0 ? [] : [`packets counted meanwhile, of all pods of this node: ${all.join(', ')}`]
}
