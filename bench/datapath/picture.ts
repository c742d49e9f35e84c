// SPDX-License-Identifier: Apache-2.0
import type { Row } from '../measure/row.ts'
import { bars, type Panel } from '../show/svg.ts'
import { type Cell, cells, figureOf, works } from './cells.ts'

const titles = {
  tcp_rr: 'One byte and back over TCP',
  udp_rr: 'One byte and back over UDP',
  crr: 'Connection, one byte and back, end',
  stream: 'TCP stream',
}
const labels = { veth: 'regular', veth_nft: 'regular, nftables', veth_ipt: 'regular, iptables', v2_nopolicy: 'V2, no policy', v2: 'V2' }
const colors = { veth: 1, veth_nft: 2, veth_ipt: 3, v2_nopolicy: 4, v2: 0 }

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
  if (found === undefined || cell.way.kind === 'host') return []
  const { kind, between } = cell.way
  const label = `${labels[kind]}, ${between === 'crossnode' ? 'two nodes' : 'one node'}`
  return [{ label, value: found.value, spread: found.spread, color: colors[kind], ...(found.goal === null ? {} : { goal: found.goal }) }]
}
