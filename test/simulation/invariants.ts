// SPDX-License-Identifier: Apache-2.0
import { intentTag } from '#controller/tags.ts'
import { addressesOf } from '#ipam/book.ts'
import type { Lease } from '#ipam/ledger.ts'
import { heldByRuntime, isLive } from '#ipam/pool.ts'
import { type NodeCr, type NodeStatus, nodeCrs } from '#kube/crd/node.ts'
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import type { Eni } from '#sim/model/rows.ts'
import type { Cluster } from './cluster.ts'
import type { SimNode } from './node.ts'

export class Violation extends Error {}

function fail(text: string): never {
  throw new Violation(text)
}

/** What must hold at every instant. */
export function always(c: Cluster): void {
  oneHolder(c)
  leasedStays(c)
  leaseStands(c)
  accounted(c)
}

/** Invariant 1: an address is in at most one live sandbox, and in at most one lease, of the whole cluster. */
function oneHolder(c: Cluster): void {
  const sandboxes = new Map<string, string>()
  const leases = new Map<string, string>()
  for (const node of c.nodes.values()) {
    for (const lease of node.disk.leases.values()) {
      if (isOut(c, lease)) continue
      for (const ip of addressesOf(lease)) {
        const other = leases.get(ip)
        if (other !== undefined) fail(`${ip} is leased to ${other} and to ${node.name}/${lease.containerId}`)
        leases.set(ip, `${node.name}/${lease.containerId}`)
      }
    }
    for (const sandbox of connected(c, node)) {
      for (const ip of sandbox.ips) {
        const other = sandboxes.get(ip)
        if (other !== undefined) fail(`${ip} is in the sandboxes ${other} and ${node.name}/${sandbox.id}`)
        sandboxes.set(ip, `${node.name}/${sandbox.id}`)
      }
    }
  }
}

/**
 * Leases that hold nothing: on an ENI that a third party took, which is out of anybody's hands, and on one of the machine that had
 * this one's name before. The latter ends without a sandbox, because this machine has no such device.
 */
function isOut(c: Cluster, { state, attachment }: Lease): boolean {
  return c.cloud.taken.has(attachment.eni.eniId) || (c.cloud.retired.has(attachment.eni.eniId) && state !== 'held')
}

/** Devices that exist, with the addresses that their sandboxes were given, whether or not anybody still counts the sandbox. */
function connected(c: Cluster, node: SimNode): readonly { readonly id: string; readonly ips: readonly string[] }[] {
  return [...node.kernel.links.values()].flatMap(({ containerId: id }) => {
    const given = node.given.get(id)
    return given === undefined || c.cloud.taken.has(given.eniId) ? [] : [{ id, ips: given.ips }]
  })
}

/** Invariant 1, the cloud's half: the address of a lease, or of a live sandbox, is on an ENI of its instance. */
function leasedStays(c: Cluster): void {
  const home = new Map<string, Eni>()
  for (const eni of c.cloud.simulator.store.state.list('eni')) for (const ip of eni.ipv4) home.set(ip, eni)
  for (const node of c.nodes.values()) {
    const stays = (ip: string, who: string) => {
      const eni = home.get(ip)
      if (eni?.attachment?.instanceId === node.instanceId && eni.status === 'InUse') return
      const where = eni === undefined ? 'not assigned' : `on ${eni.id} (${eni.status}, ${eni.attachment?.instanceId})`
      fail(`${ip} of ${node.name}, ${who}, is ${where}`)
    }
    for (const lease of node.disk.leases.values()) {
      if (isOut(c, lease)) continue
      for (const ip of addressesOf(lease)) stays(ip, `lease ${lease.containerId} (${lease.state})`)
    }
    for (const sandbox of connected(c, node)) for (const ip of sandbox.ips) stays(ip, `sandbox ${sandbox.id}`)
  }
}

/** Invariants 3 and 5: from its answer to its DEL a sandbox keeps its lease, with the addresses of the answer, whatever else is asked for. */
function leaseStands(c: Cluster): void {
  for (const { name, node, sandbox, deleting } of c.kubelet.jobs.values()) {
    if (sandbox === undefined || deleting || !node.sandboxes.has(sandbox.id)) continue
    const lease = node.disk.leases.get(sandbox.id)
    if (lease?.state !== 'held' || addressesOf(lease).join() !== sandbox.ips.join())
      fail(`${sandbox.id} of ${node.name}/${name} was answered ${sandbox.ips.join()}, its lease is ${JSON.stringify(lease)}`)
  }
}

/** Invariant 2: every ENI of ours is in a Node CR, or the intent that created it is. */
function accounted(c: Cluster): void {
  const recorded = new Set<string>()
  const intents = new Set<string>()
  // Unparsed: this runs at every change, and parsing would be half of the run.
  for (const { status } of c.api.stored(nodeCrs) as readonly { readonly status?: NodeStatus }[]) {
    for (const id of Object.keys(status?.networkInterfaces ?? {})) recorded.add(id)
    for (const token of Object.keys(status?.intents ?? {})) intents.add(token)
  }
  for (const eni of c.cloud.simulator.store.state.list('eni')) {
    if (eni.type === 'Primary' || recorded.has(eni.id) || eni.status === 'Deleting') continue
    if (!intents.has(eni.tags[intentTag] ?? '')) fail(`ENI ${eni.id} (${eni.status}) is in no Node CR, and its intent is gone`)
  }
}

/** What must hold when nothing is going on any more: zero leaks, and a pool of the right size. */
export function atRest(c: Cluster): void {
  const enis = c.cloud.simulator.store.state.list('eni').filter(e => e.type !== 'Primary')
  const crs = new Map(c.api.all(nodeCrs).map(cr => [cr.metadata.name, cr]))
  const recorded = new Set([...crs.values()].flatMap(cr => Object.keys(cr.status?.networkInterfaces ?? {})))
  for (const eni of enis) if (!recorded.has(eni.id)) fail(`at rest: ENI ${eni.id} (${eni.status}) is in no Node CR`)
  for (const node of c.nodes.values()) {
    const cr = crs.get(node.name)
    if (cr === undefined) fail(`at rest: ${node.name} has no Node CR`)
    nodeAtRest(c, cr, enis)
  }
  for (const job of c.kubelet.jobs.values())
    if (job.sandbox === undefined) fail(`at rest: pod ${job.name} on ${job.node.name} has no network: ${c.why(job.node)}`)
}

function nodeAtRest(c: Cluster, cr: NodeCr, enis: readonly Eni[]): void {
  const { name } = cr.metadata
  const node = c.nodes.get(name)
  if (Object.keys(cr.status?.intents ?? {}).length > 0) fail(`at rest: ${name} has intents ${JSON.stringify(cr.status?.intents)}`)
  let idle = 0
  let primaries = 0
  const runtime = c.api.read(nodeRuntimes, name)
  const leases = [...(node?.disk.leases.values() ?? [])]
  const held = node?.central === true ? new Set<string>(leases.flatMap(addressesOf)) : heldByRuntime(runtime)
  for (const nic of Object.values(cr.status?.networkInterfaces ?? {})) {
    const eni = enis.find(e => e.id === nic.id)
    if (nic.status !== 'InUse' || eni?.status !== 'InUse')
      fail(`at rest: ${name}/${nic.id} is ${nic.status} in the CR and ${eni?.status} in the cloud`)
    const record = Object.values(nic.ipv4 ?? {})
    const [ours, theirs] = [
      record
        .map(a => a.ip)
        .sort()
        .join(),
      [...eni.ipv4].sort().join(),
    ]
    if (ours !== theirs) fail(`at rest: ${name}/${nic.id} has ${ours} in the CR and ${theirs} in the cloud`)
    for (const a of record) {
      if (a.status !== 'Valid') fail(`at rest: ${name}/${a.ip} is ${a.status}, answer ${JSON.stringify(runtime?.status?.releases?.[a.ip])}`)
      if (held.has(a.ip) !== (a.podUID !== undefined)) fail(`at rest: ${name}/${a.ip} is held: ${held.has(a.ip)}, mirrored: ${a.podUID}`)
      if (!held.has(a.ip)) idle++
      if (a.primary) primaries++
    }
  }
  const live = Object.values(runtime?.status?.pods ?? {}).filter(isLive)
  if (leases.length !== live.length) fail(`at rest: ${name} has ${leases.length} leases and reports ${live.length} pods`)
  if (leases.length !== node?.sandboxes.size) fail(`at rest: ${name} has ${leases.length} leases and ${node?.sandboxes.size} sandboxes`)
  const devices = node.kernel.links.size
  if (devices !== leases.length) fail(`at rest: ${name} has ${devices} devices and ${leases.length} leases`)
  const { minPoolSize: min = 0, maxPoolSize: max = 0 } = cr.spec.pool ?? {}
  const full = leases.length + idle >= 30
  if (idle < min && !full) fail(`at rest: ${name} has ${idle} idle addresses, fewer than ${min}`)
  // A primary address cannot leave while its ENI serves somebody.
  if (idle > max + primaries) fail(`at rest: ${name} has ${idle} idle addresses, more than ${max} and ${primaries} primary ones`)
}
