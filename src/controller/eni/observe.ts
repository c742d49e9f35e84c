// SPDX-License-Identifier: Apache-2.0
import type { Eni, EniStatus, VSwitch } from '#cloud/port.ts'
import type { ControllerDeps, ControllerOptions } from '#controller/deps.ts'
import type { Memory } from '#controller/eni/memory.ts'
import { isMoving, isRemoved } from '#controller/eni/moves.ts'
import { canonical, nicsOf } from '#controller/eni/status.ts'
import { isElsewhere, lose, mergeDescribed } from '#controller/eni/sync.ts'
import type { VSwitchCache } from '#controller/vswitch/cache.ts'
import type { Nic, NodeCr, NodeStatus } from '#kube/crd/node.ts'

/** What the cloud said in this round. */
export interface Looked {
  readonly status: NodeStatus
  /** ENIs on their way in or out that were asked about. */
  readonly asked: ReadonlySet<string>
  /** Their states, as far as the answer proves them. */
  readonly seen: ReadonlyMap<string, EniStatus | 'absent'>
  readonly synced: boolean
  /** Monotonic time before the first call. */
  readonly begun: number
}

export interface LookContext {
  readonly deps: Pick<ControllerDeps, 'cloudFor' | 'clock' | 'observer'>
  readonly options: Pick<ControllerOptions, 'syncPeriod'>
  readonly vSwitches: VSwitchCache
}

/** Asks about ENIs on their way that are due; when a comparison is, about every ENI of the instance, and merges what it finds. */
export async function look(c: LookContext, node: NodeCr, isDue: (nic: Nic) => boolean, memory: Memory, sync: boolean): Promise<Looked> {
  const start = c.deps.clock.now()
  const status = canonical(node.status ?? {})
  const merged = sync ? await compare(c, { ...node, status }, memory) : status
  const moving = nicsOf(merged).filter(nic => isMoving(nic) && isDue(nic))
  const ids = moving.map(nic => nic.id)
  const begun = c.deps.clock.now()
  const enis = await c.deps.cloudFor('pod', node.metadata.name).describeEnis({ ids })
  const found = new Map(enis.map(e => [e.id, e]))
  const seen = new Map<string, EniStatus | 'absent'>()
  for (const id of ids) {
    const eni = found.get(id)
    if (eni !== undefined && !isElsewhere(eni, node.spec)) seen.set(id, eni.status)
    else if (memory.absenceProven(id, begun)) seen.set(id, 'absent')
  }
  const at = new Date(c.deps.clock.wall()).toISOString()
  const lost = moving.filter(nic => !isRemoved(nic) && seen.get(nic.id) === 'absent')
  return {
    status: lost.reduce((s, nic) => lose(s, nic, found.get(nic.id), at), merged),
    asked: new Set(ids),
    seen,
    synced: sync,
    begun: start,
  }
}

async function compare(c: LookContext, node: NodeCr, memory: Memory): Promise<NodeStatus> {
  const { clock, observer, cloudFor } = c.deps
  const cloud = cloudFor('warm', node.metadata.name)
  const status = node.status ?? {}
  const begun = clock.now()
  const filter = Object.entries(node.spec.eni?.tagFilter ?? {}).map(([key, value]) => ({ key, value }))
  const attached = await cloud.describeEnis({
    instanceId: node.spec.nodeMetadata?.instanceID ?? '',
    ...(filter.length === 0 ? {} : { tags: filter }),
  })
  const present = new Set(attached.map(e => e.id))
  const others = await cloud.describeEnis({ ids: nicsOf(status).flatMap(nic => (present.has(nic.id) ? [] : [nic.id])) })
  const enis = [...attached, ...others]
  const vSwitches = await vSwitchesOf(c.vSwitches, enis)
  observer.synced(node.metadata.name)
  const wall = clock.wall()
  const at = new Date(wall).toISOString()
  const merged = mergeDescribed(status, node.spec, { enis, begun, vSwitches }, memory, at)
  return {
    ...merged,
    lastSyncOpenAPITime: at,
    nextSyncOpenAPITime: new Date(wall + c.options.syncPeriod * (1 + clock.random())).toISOString(),
  }
}

async function vSwitchesOf(cache: VSwitchCache, enis: readonly Eni[]): Promise<ReadonlyMap<string, VSwitch>> {
  const found = await cache.get([...new Set(enis.map(e => e.vSwitchId))])
  return new Map(found.map(v => [v.id, v]))
}
