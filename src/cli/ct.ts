// SPDX-License-Identifier: Apache-2.0
import { type FlowRow, flowRow, nodeFlowRow, withChoicesInUse } from '#cli/ct-rows.ts'
import type { CliDeps } from '#cli/deps.ts'
import { frontendNames, type PodNames, podNames, requirePrograms } from '#cli/node-view.ts'
import { type Output, print } from '#cli/output.ts'
import { tableLines } from '#cli/table.ts'
import { evicted, flowsMade, tableSums } from '#kernel/bpf/flow-sums.ts'
import { seenNow } from '#kernel/bpf/seen.ts'
import { flowState } from '#kernel/bpf/words.ts'
import type { Kernel } from '#kernel/port.ts'
import { AppError } from '#lib/errors.ts'
import { parseIp, withPort } from '#net/ip.ts'

/** Which flows are shown; what is not said does not narrow it. */
export interface FlowFilter {
  /** namespace/name */
  readonly pod?: string
  /** Of either side, or what the client sees. */
  readonly ip?: string
  readonly port?: number
  readonly state?: string
  readonly protocol?: string
  /** Outdated ones too. */
  readonly all?: boolean
}

/** The tables of connections, in the order in which they are shown. */
export const flowTables = ['flows', 'new_flows', 'node_flows', 'new_node_flows', 'host_notes'] as const

/** Flows that the programs know of. */
export async function ctList(deps: CliDeps, socket: string, filter: FlowFilter, output: Output): Promise<void> {
  const narrowing = checked(filter)
  const rows = (await readFlows(deps, socket)).filter(row => matches(row, narrowing))
  print(deps, output, rows, all => tableLines(heading, all.map(cells)))
}

/** The flows that carried most. */
export async function ctTop(deps: CliDeps, socket: string, by: string, limit: number, output: Output): Promise<void> {
  if (by === 'flows') return topPods(deps, socket, limit, output)
  if (by !== 'bytes' && by !== 'packets') throw new AppError('bad-argument', `--by is bytes, packets or flows, not ${by}`)
  const rows = (await readFlows(deps, socket)).filter(row => row.kind !== 'choice').toSorted((a, b) => carried(b, by) - carried(a, by))
  print(deps, output, rows.slice(0, limit), all => tableLines(heading, all.map(cells)))
}

/** The pods that have most flows; of a Service's the choice does not count. */
async function topPods(deps: CliDeps, socket: string, limit: number, output: Output): Promise<void> {
  const flows = new Map<string, number>()
  for (const { kind, state, pod, local, outdated } of await readFlows(deps, socket)) {
    if (kind !== 'pod' || outdated || (state !== 'new' && state !== 'open')) continue
    flows.set(pod ?? local, (flows.get(pod ?? local) ?? 0) + 1)
  }
  const rows = [...flows].map(([pod, count]) => ({ pod, flows: count })).toSorted((a, b) => b.flows - a.flows)
  print(deps, output, rows.slice(0, limit), all =>
    tableLines(
      ['POD', 'FLOWS'],
      all.map(r => [r.pod, String(r.flows)]),
    ),
  )
}

/** How full the tables of connections are, what they had no room for, and how many flows began, since the programs were first loaded. */
export async function ctStatus(deps: CliDeps, output: Output): Promise<void> {
  await withKernel(deps, async kernel => {
    await requirePrograms(kernel)
    const sums = tableSums(await kernel.mapEntries('table_sums'), await kernel.mapEntries('credits'))
    const tables: TableUse[] = []
    for (const table of flowTables) {
      const use = await kernel.countEntries(table)
      const sum = sums.get(table)
      tables.push({ table, ...use, ...(sum !== undefined && { evicted: evicted(sum, use.used) }) })
    }
    const began = flowsMade(await kernel.mapEntries('flows_made')).filter(({ count }) => count > 0)
    print(deps, output, { tables, began }, all => [
      ...tableLines(['TABLE', 'ENTRIES', 'ROOM', 'FULL', 'EVICTED'], all.tables.map(statusCells)),
      '',
      ...tableLines(
        ['FLOWS', 'PROTO', 'BEGAN'],
        all.began.map(({ what, protocol, count }) => [what, protocol, String(count)]),
      ),
    ])
  })
}

async function readFlows(deps: CliDeps, socket: string): Promise<FlowRow[]> {
  const pods = await podNames(deps, socket)
  return withKernel(deps, async kernel => {
    await requirePrograms(kernel)
    return flowsIn(kernel, pods)
  })
}

/** All of them, also outdated ones. */
export async function flowsIn(kernel: Kernel, pods: PodNames): Promise<FlowRow[]> {
  const names = { pods, frontends: await frontendNames(kernel), now: seenNow() }
  const [flows, fresh, node] = [
    await kernel.mapEntries('flows'),
    await kernel.mapEntries('new_flows'),
    [...(await kernel.mapEntries('node_flows')), ...(await kernel.mapEntries('new_node_flows'))],
  ]
  return [...withChoicesInUse([...flows, ...fresh].map(e => flowRow(e, names))), ...node.map(e => nodeFlowRow(e, names))]
}

export async function withKernel<T>(deps: CliDeps, fn: (kernel: Kernel) => Promise<T>): Promise<T> {
  const kernel = await deps.kernel()
  try {
    return await fn(kernel)
  } finally {
    await kernel.close()
  }
}

/** Refuses what no flow has, lest an empty list is taken for an answer. Addresses may be written in any way. */
function checked(filter: FlowFilter): FlowFilter {
  const { pod, ip, port = 0, state } = filter
  const states = Object.keys(flowState)
  if (pod !== undefined && !pod.includes('/')) throw new AppError('bad-argument', `--pod is namespace/name, not ${pod}`)
  if (port > 65_535) throw new AppError('bad-argument', `--port is at most 65535, not ${port}`)
  if (state !== undefined && !states.includes(state))
    throw new AppError('bad-argument', `--state is one of ${states.join(', ')}, not ${state}`)
  return ip === undefined ? filter : { ...filter, ip: parseIp(ip) }
}

export function matches(row: FlowRow, { pod, ip, port, state, protocol, all = false }: FlowFilter): boolean {
  const { local, remote, localPort, remotePort, frontend = '' } = row
  return (
    (all || !row.outdated) &&
    (pod === undefined || row.pod === pod) &&
    (ip === undefined || [local, remote].includes(ip) || frontend.startsWith(withPort(ip, 0).slice(0, -1))) &&
    (port === undefined || [localPort, remotePort].includes(port) || frontend.endsWith(`:${port}`)) &&
    (state === undefined || row.state === state) &&
    (protocol === undefined || row.protocol.toLowerCase() === protocol.toLowerCase())
  )
}

function carried({ txBytes, rxBytes, txPackets, rxPackets }: FlowRow, by: 'bytes' | 'packets'): number {
  return by === 'bytes' ? txBytes + rxBytes : txPackets + rxPackets
}

const heading = ['KIND', 'PROTO', 'STATE', 'WAY', 'LOCAL', '', 'REMOTE', 'FRONTEND', 'POD', 'SENT', 'RECEIVED', 'IDLE']

/** The arrow points away from who began. */
function cells(r: FlowRow): string[] {
  const arrow = r.began === 'local' ? '->' : '<-'
  const ends = [withPort(r.local, r.localPort), arrow, withPort(r.remote, r.remotePort)]
  const names = [r.frontend ?? '-', r.pod ?? '-']
  return [r.kind, r.protocol, r.state, r.way ?? '-', ...ends, ...names, String(r.txBytes), String(r.rxBytes), `${r.idleSeconds}s`]
}

interface TableUse {
  readonly table: string
  readonly used: number
  readonly room: number
  /** Of those that the programs count. */
  readonly evicted?: number
}

function statusCells({ table, used, room, evicted: gone }: TableUse): string[] {
  const full = room === 0 ? '-' : `${((100 * used) / room).toFixed(1)}%`
  return [table, String(used), String(room), full, gone === undefined ? '-' : String(gone)]
}
