// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { get } from '../../lab/get.ts'
import type { Answer } from '../../lab/http.ts'
import { answers } from '../../lab/http.ts'
import type { Lab } from '../../lab/lab.ts'
import { ipOf, type Pod } from '../../lab/pods.ts'
import { familyOf } from '../../sim/fabric/address.ts'
import { INTERNET } from '../../sim/fabric/base.ts'
import { root } from '../../tools/components.ts'
import { nodeOf, type Row } from './matrix.ts'

const app = join(root, 'build', 'app')
export const appPort = 8080
export const hostPortOfPods = 18081

export type Family = 4 | 6
export type Protocol = 'tcp' | 'udp'
interface Exchange {
  readonly family: Family
  readonly protocol: Protocol
}
const exchanges: readonly Exchange[] = ([4, 6] as const).flatMap(family =>
  (['tcp', 'udp'] as const).map(protocol => ({ family, protocol })),
)

export interface Service {
  readonly spec: {
    readonly clusterIPs: readonly string[]
    readonly ports: readonly { readonly port: number; readonly nodePort: number }[]
  }
  readonly status: { readonly loadBalancer: { readonly ingress?: readonly { readonly ip: string }[] } }
}
export type ByNode = ReadonlyMap<string, Service>
/** The matrix's cluster: pods that ask, and pods that answer with their Services, by node. */
export interface Parties {
  readonly lab: Lab
  readonly asking: ReadonlyMap<string, Pod>
  readonly answering: ReadonlyMap<string, Pod>
  readonly services: { readonly Cluster: ByNode; readonly Local?: ByNode }
  /** Of the pods that ask themselves. */
  readonly ownServices: ByNode
  /** Public IPv4 addresses of nodes, by private address. */
  readonly elastic: ReadonlyMap<string, string>
}

/** What one cell has shown: empty when all was as the row says. */
export interface Cell extends Exchange {
  readonly wrong?: string
}

const need = <T>(value: T | undefined, what: string): T => {
  if (value === undefined) throw new Error(`there is no ${what}`)
  return value
}

function nodeAddress(lab: Lab, node: string, family: Family): string {
  const { address, address6 } = lab.node(node).identity
  return need(family === 4 ? address : address6, `IPv${family} address of ${node}`)
}

function serviceOfRow(p: Parties, row: Row): Service {
  return need(row.backend === 'itself' ? p.ownServices.get(row.door) : p.services[row.policy]?.get(row.backend), 'Service')
}

function addressOf(p: Parties, row: Row, family: Family): string {
  if (row.to === 'pod') return ipOf(need(p.answering.get(row.backend), 'pod'), family)
  if (row.to === 'ClusterIP') return ofFamily(serviceOfRow(p, row).spec.clusterIPs, family, 'ClusterIP')
  if (row.to === 'LoadBalancer')
    return ofFamily(
      (serviceOfRow(p, row).status.loadBalancer.ingress ?? []).map(i => i.ip),
      family,
      'balancer',
    )
  const own = nodeAddress(p.lab, row.door, family)
  return row.from === 'outside' && family === 4 ? need(p.elastic.get(own), `public address of ${row.door}`) : own
}

function ofFamily(addresses: readonly string[], family: Family, what: string): string {
  return need(
    addresses.find(ip => familyOf(ip) === family),
    `${what} of IPv${family}`,
  )
}

function portOf(p: Parties, row: Row): number {
  if (row.to === 'pod') return appPort
  if (row.to === 'hostPort') return hostPortOfPods
  const { port, nodePort } = need(serviceOfRow(p, row).spec.ports[0], 'port')
  return row.to === 'NodePort' ? nodePort : port
}

/** Addresses that the pod may see; none: it may see nobody. */
function expected(p: Parties, row: Row, family: Family): readonly string[] {
  const source = sourceOf(p, row, family)
  switch (row.seen) {
    case 'nobody':
      return []
    case 'source':
      return [source]
    case 'asked':
      return [addressOf(p, row, family)]
    case 'any node':
      return [source, ...nodesBut(p, family, row.backend)]
    case 'a node':
      return nodesBut(p, family)
    case 'portmap': {
      const pod = ipOf(need(p.answering.get(row.backend), 'pod'), family)
      return [sameVSwitch(source, pod) ? nodeAddress(p.lab, row.door, family) : source]
    }
    default:
      return [nodeAddress(p.lab, row.seen, family)]
  }
}

const nodesBut = ({ lab }: Parties, family: Family, without?: string) =>
  lab.nodes().flatMap(({ name }) => (name === without ? [] : [nodeAddress(lab, name, family)]))

function sourceOf({ lab, asking }: Parties, row: Row, family: Family): string {
  const node = nodeOf(row.from)
  if (node === undefined) return family === 4 ? INTERNET.host4 : INTERNET.host6
  return row.from.endsWith('pod') ? ipOf(need(asking.get(node), 'pod that asks'), family) : nodeAddress(lab, node, family)
}

/** The vSwitches of vpc.yaml: /24 and /64. */
function sameVSwitch(a: string, b: string): boolean {
  const end = familyOf(a) === 4 ? /\.\d+$/ : /::[0-9a-f]*$/
  return a.replace(end, '') === b.replace(end, '')
}

/** All families and protocols of rows of one source, at once. The cells of each row, in order. */
export async function ask(p: Parties, rows: readonly Row[]): Promise<readonly (readonly Cell[])[]> {
  const from = need(rows[0], 'row').from
  const questions = rows.map(row => ({ row, wanted: exchangesOf(row).map(e => ({ ...e, target: targetOf(p, row, e) })) }))
  const told = await asked(
    p,
    from,
    questions.flatMap(({ wanted }) => wanted.map(({ target }) => target)),
  )
  return questions.map(({ row, wanted }) => wanted.map(e => judged(p, row, e, told)))
}

const exchangesOf = (row: Row): readonly Exchange[] => exchanges.filter(({ family }) => family !== row.without?.family)

function targetOf(p: Parties, row: Row, { family, protocol }: Exchange): string {
  return `${protocol} ${addressOf(p, row, family)} ${portOf(p, row)}`
}

function judged(p: Parties, row: Row, { target, ...cell }: Exchange & { readonly target: string }, told: readonly Answer[]): Cell {
  const answer = told.find(a => a.target === target)
  const name = row.backend === 'itself' ? p.asking.get(row.door)?.metadata.name : p.answering.get(row.backend)?.metadata.name
  const clients = expected(p, row, cell.family)
  const { client, server } = answer ?? {}
  if (client === undefined ? clients.length === 0 : clients.includes(client) && server === name) return cell
  const wanted = clients.length === 0 ? 'no answer' : `${name} and ${clients.join(' or ')}`
  return { ...cell, wrong: `${target}: ${client === undefined ? 'no answer' : `${server} saw ${client}`}, expected ${wanted}` }
}

/** Asks all targets at once from a source of the matrix. */
export async function asked(
  { lab, asking }: Pick<Parties, 'lab' | 'asking'>,
  from: Row['from'],
  targets: readonly string[],
): Promise<readonly Answer[]> {
  const node = nodeOf(from)
  if (node === undefined) return answers((await lab.onInternet([app, 'ask', ...targets])).stdout)
  if (from.endsWith('host')) return answers((await lab.node(node).exec([app, 'ask', ...targets])).stdout)
  const pod = need(asking.get(node), 'pod that asks').metadata.name
  return answers((await lab.kubectlRaw(['exec', pod, '--', '/bin/app', 'ask', ...targets])).stdout)
}

export async function serviceOf(lab: Lab, name: string): Promise<Service> {
  return get<Service>(lab, 'service', name)
}
