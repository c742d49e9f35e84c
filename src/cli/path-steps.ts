// SPDX-License-Identifier: Apache-2.0
import type { FlowRow } from '#cli/ct-rows.ts'
import { modeWords } from '#cli/datapath-status.ts'
import type { Attempt } from '#cli/probe.ts'
import { type Tree, treeLines } from '#cli/tree.ts'
import { mode } from '#kernel/bpf/words.ts'
import { withPort } from '#net/ip.ts'

/** What was found of the way from a pod to a destination. */
export interface PathFound {
  readonly pod: string
  readonly address: string
  readonly destination: string
  /** Undefined where no port was asked for. */
  readonly port?: number
  /** The word that every program reads first; undefined without programs. */
  readonly mode: number | undefined
  /** The pod's host end, and how the programs have the pod. */
  readonly device: string
  readonly state: string
  /** The device of the pod's ENI. */
  readonly eni?: string
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
  /** By name: packets that the programs counted during the attempt, by their way or as dropped. */
  readonly counted: Readonly<Record<string, number>>
}

export function stepLines(found: PathFound): string[] {
  const { pod, address, destination, port } = found
  const children = [...attemptSteps(found), ...waySteps(found), ...countSteps(found)].map(text => ({ text }))
  const root: Tree = { text: `${pod} ${address} -> ${port === undefined ? destination : withPort(destination, port)}`, children }
  return treeLines([root])
}

function attemptSteps({ attempt }: PathFound): string[] {
  if (attempt === undefined) return []
  const { outcome, milliseconds, localPort } = attempt
  const from = localPort === undefined ? '' : ` from port ${localPort}`
  return [`tried${from}: ${outcome} after ${milliseconds} ms`]
}

function waySteps(found: PathFound): string[] {
  const { mode: word, device, state, flow, choice } = found
  if (word === undefined || (word & (mode.forward | mode.service)) === 0)
    return [`leaves by ${device} into the host stack, which carries everything on this node (${modeWords(word)})`]
  const begin = `leaves by ${device}, whose programs have the pod as ${state} (${modeWords(word)})`
  if (flow === undefined && choice === undefined) return [begin, ...serviceSteps(found), unknown(found)]
  return [begin, ...serviceSteps(found), ...(flow === undefined ? ['no flow to a backend is known'] : flowSteps(found, flow))]
}

function serviceSteps({ service, choice, flow }: PathFound): string[] {
  const frontend = choice?.frontend ?? flow?.frontend
  if (frontend === undefined) return service === undefined ? [] : [`an address of Service ${service}`]
  return [`translated: Service ${service ?? '(its name is not known)'}, ${frontend}`]
}

function flowSteps(found: PathFound, flow: FlowRow): string[] {
  const to = withPort(flow.remote, flow.remotePort)
  const traffic = `${flow.state}, sent ${flow.txPackets} packets, received ${flow.rxPackets}, idle for ${flow.idleSeconds} s`
  return [`to ${found.peer === undefined ? to : `${found.peer} ${to}`}: ${wayOf(found, flow)}`, traffic]
}

function wayOf({ peer, hostReason, eni = 'its ENI' }: PathFound, { way, state }: FlowRow): string {
  if (state === 'denied') return 'dropped'
  if (way === 'host') return `through the host stack${hostReason === undefined ? '' : `: ${hostReason}`}`
  return peer === undefined ? `past the host stack, out by ${eni}` : 'past the host stack, directly into the pod'
}

/** Nothing was sent lately, or what was leaves no flow. */
function unknown({ hostReason, attempt }: PathFound): string {
  if (hostReason !== undefined) return `no flow is known; it goes through the host stack: ${hostReason}`
  return attempt === undefined ? 'no flow is known: nothing was sent there lately (--probe tries a connection)' : 'no flow is known'
}

function countSteps({ attempt, counted }: PathFound): string[] {
  const all = Object.entries(counted).map(([name, packets]) => `${name} ${packets}`)
  return attempt === undefined || all.length === 0 ? [] : [`packets counted meanwhile, of all pods of this node: ${all.join(', ')}`]
}
