// SPDX-License-Identifier: Apache-2.0
import type { Row } from '../measure/row.ts'
import { bars, type Panel } from '../show/svg.ts'
import { type Between, type Cell, cells, figureOf, type Kind, works } from './cells.ts'

const titles = {
  tcp_rr: 'One byte and back over TCP',
  udp_rr: 'One byte and back over UDP',
  crr: 'Connection, one byte and back, end',
  stream: 'TCP stream',
}
const labels: Readonly<Record<Kind, string>> = {
  veth: 'regular',
  veth_nft: 'regular, nftables',
  veth_ipt: 'regular, iptables',
  veth_svc: 'regular, programs',
  minimal: 'redirect only',
  minimal_block: 'redirect only, as V2',
  v2_nopolicy: 'V2, bare',
  v2: 'V2',
  v2_svc1: 'V2 with 1',
  v2_svc100: 'V2 with 100',
  v2_svc10k: 'V2 with 10 000',
  v2_ct10k: 'V2, 10k flows',
  v2_ct1m: 'V2, 1M flows',
}
const places: Readonly<Record<Exclude<Between, 'socket'>, string>> = {
  crossnode: ', two nodes',
  samenode: ', one node',
  service: ' → Service',
  node: ', node itself',
}
const colors: Readonly<Partial<Record<Kind, number>>> = { veth: 1, veth_nft: 2, veth_ipt: 3, v2_nopolicy: 4, veth_svc: 5 }

/** One panel per kind of work, on one CPU: how fast each way is against host to host. */
export function datapathPanels(rows: ReadonlyMap<string, Row>): readonly Panel[] {
  return works.map(work =>
    bars(
      `${titles[work]}, one CPU: speed against host to host (1 = equal)`,
      '',
      cells.filter(cell => cell.work === work && cell.cpus === 1).flatMap(cell => barOf(rows, cell)),
    ),
  )
}

function barOf(rows: ReadonlyMap<string, Row>, cell: Cell) {
  const found = rows.get(figureOf(cell))
  // What is translated at sockets is against the node itself.
  if (found === undefined || cell.way.kind === 'host' || cell.way.between === 'socket') return []
  const { kind, between } = cell.way
  const label = `${labels[kind]}${places[between]}`
  return [
    { label, value: found.value, spread: found.spread, color: colors[kind] ?? 0, ...(found.goal === null ? {} : { goal: found.goal }) },
  ]
}
