// SPDX-License-Identifier: Apache-2.0
import { recountOps, refusedBy } from '#daemon/recount.ts'
import { configIn, nodeConfigEntry, nodeDevices, nodeSideQuery, takenUplink } from '#datapath/v2/node-side.ts'
import { type Count, countsByName } from '#kernel/bpf/counters.ts'
import { evicted, flowsMade, tableSums } from '#kernel/bpf/flow-sums.ts'
import type { MapName } from '#kernel/bpf/maps.ts'
import { address, addressKey } from '#kernel/bpf/structs.ts'
import { flowTables, sumsOf } from '#kernel/bpf/survey.ts'
import { addressState, dropReasons, path } from '#kernel/bpf/words.ts'
import { applyAll, observeHost } from '#kernel/host.ts'
import { modeOf, turnOff } from '#kernel/mode.ts'
import type { BpfProbe, Kernel } from '#kernel/port.ts'
import type { Ip } from '#net/ip.ts'

/** What the daemon asks about the programs of DataPath V2, beside what its datapath does with them. */
export interface Programs {
  /** Whether the kernel has what they need. */
  probe(): Promise<readonly BpfProbe[]>
  /** The word that every program reads first, 0 = off; undefined while none is loaded. */
  mode(): Promise<number | undefined>
  /** Leaves every packet to the host stack; devices, programs and entries stay as they are. Those of Services are translated on only if `services` says so. */
  turnOff(services: boolean): Promise<void>
  /** How full the tables of connections are, and what the programs have counted since their maps were made. A table of any size is walked through: not to be asked often. */
  sample(): Promise<ProgramSample>
  /** The node's own device when programs translate Services and cannot join it, since somebody else's qdisc is there. */
  takenDevice(): Promise<string | undefined>
  /** Addresses of pods that they leave to the host stack. */
  leftToHostStack(): Promise<readonly Ip[]>
}

export interface ProgramSample {
  readonly tables: readonly { readonly table: string; readonly used: number; readonly room: number }[]
  readonly paths: ReadonlyMap<string, Count>
  readonly drops: ReadonlyMap<string, Count>
  /** Entries that a table was too full for, by table, and flows that began. */
  readonly evicted: ReadonlyMap<string, number>
  readonly made: ReturnType<typeof flowsMade>
  /** How many flows each pod has, by its address. */
  readonly live: ReadonlyMap<Ip, number>
  /** And how many were refused to it, since it had as many as a pod may have. */
  readonly refused: ReadonlyMap<Ip, number>
}

/** Of a node without programs. */
export const noSample: ProgramSample = {
  ...{ tables: [], paths: new Map(), drops: new Map() },
  ...{ evicted: new Map(), made: [], live: new Map(), refused: new Map() },
}

const others = ['node_flows', 'new_node_flows', 'host_notes'] as const satisfies readonly MapName[]

export function programsOf(
  kernel: Pick<Kernel, 'probePrograms' | 'mapEntries' | 'countEntries' | 'surveyFlows' | 'observe' | 'apply'>,
): Programs {
  return {
    probe: () => kernel.probePrograms(),
    mode: () => modeOf(kernel),
    turnOff: services => turnOff(kernel, services ? undefined : 0),
    sample: () => sample(kernel),
    takenDevice: async () => {
      const { routes, hooks } = nodeSideQuery
      const host = await observeHost(kernel, { links: 'all', families: [4, 6], routes, entries: [nodeConfigEntry] })
      if (configIn(host) === undefined) return undefined
      const side = await observeHost(kernel, { links: nodeDevices(host), families: [], hooks })
      return takenUplink({ ...host, hooks: side.hooks })?.name
    },
    leftToHostStack: async () =>
      (await kernel.mapEntries('addresses')).flatMap(({ key, value }) => {
        const { ip } = addressKey.decode(key)
        return ip !== undefined && address.decode(value).state === addressState.stack ? [ip] : []
      }),
  }
}

type Sampled = Pick<Kernel, 'mapEntries' | 'countEntries' | 'surveyFlows' | 'apply'>
type Entries = Awaited<ReturnType<Kernel['mapEntries']>>

async function sample(kernel: Sampled): Promise<ProgramSample> {
  const before = await kernel.mapEntries('endpoint_flows')
  const found: ProgramSample['tables'][number][] = []
  const evictions = new Map<string, number>()
  let live: ReadonlyMap<Ip, number> = new Map()
  for (const table of flowTables) {
    const { used, room, ...survey } = await kernel.surveyFlows(table)
    found.push({ table, used, room })
    live = sumsOf(live, survey.live)
    const sum = tableSums(await kernel.mapEntries('table_sums'), await kernel.mapEntries('credits')).get(table)
    if (sum !== undefined) evictions.set(table, evicted(sum, used))
  }
  for (const table of others) found.push({ table, ...(await kernel.countEntries(table)) })
  const [paths, drops] = [await kernel.mapEntries('paths'), await kernel.mapEntries('drops')]
  const made = flowsMade(await kernel.mapEntries('flows_made'))
  const refused = before.length > 0 ? await recount(kernel, before, live) : new Map<Ip, number>()
  const counted = { paths: countsByName(paths, path), drops: countsByName(drops, dropReasons) }
  return { tables: found, ...counted, evicted: evictions, made, live, refused }
}

/** Flows that timed out, or were evicted, make room for others of their pod. */
async function recount(kernel: Sampled, before: Entries, live: ReadonlyMap<Ip, number>): Promise<ReadonlyMap<Ip, number>> {
  const addresses = await kernel.mapEntries('addresses')
  const walk = { before, after: await kernel.mapEntries('endpoint_flows'), addresses, live }
  await applyAll(kernel, recountOps(walk))
  return refusedBy(walk)
}
