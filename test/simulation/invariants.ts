// SPDX-License-Identifier: Apache-2.0
import { intentTag } from '#controller/tags.ts'
import { addressesOf } from '#ipam/book.ts'
import type { Lease } from '#ipam/ledger.ts'
import { heldByRuntime, isLive } from '#ipam/pool.ts'
import { type Nic, type NodeCr, type NodeStatus, nodeCrs } from '#kube/crd/node.ts'
import { type NodeRuntime, nodeRuntimes } from '#kube/crd/node-runtime.ts'
import { nodes } from '#kube/reflect/node.ts'
import { familiesOf } from '#net/stack.ts'
import type { Eni } from '#sim/model/rows.ts'
import type { Cluster } from './cluster.ts'
import { podsWith } from './idle.ts'
import type { SimNode } from './node.ts'
import { capacityOf } from './variant.ts'

export class Violation extends Error {}

function fail(text: string): never {
  throw new Violation(text)
}

/** What must hold at every instant. */
export function always(c: Cluster): void {
  oneHolder(c)
  leasedStays(c)
  leaseStands(c)
  wholeLeases(c)
  alone(c)
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
  for (const eni of c.cloud.simulator.store.state.list('eni')) for (const ip of [...eni.ipv4, ...eni.ipv6]) home.set(ip, eni)
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

/** Nothing falls back: a lease has one address of each family that pods have, and no other. */
function wholeLeases(c: Cluster): void {
  const { stack } = c.variant
  const families = familiesOf(stack).join()
  for (const node of c.nodes.values()) {
    for (const { containerId, attachment } of node.disk.leases.values()) {
      const has = [attachment.v4 === undefined ? [] : 4, attachment.v6 === undefined ? [] : 6].flat().join()
      if (has !== families) fail(`${node.name}/${containerId} has IPv${has}, and ip_stack is ${stack}`)
    }
  }
}

/** Where pods have an ENI each, an ENI serves one at most: it is in one lease and in one sandbox, and has what one pod needs. */
function alone(c: Cluster): void {
  const machines = new Map([...c.nodes.values()].flatMap(n => (n.mode === 'exclusive' ? [[n.instanceId, n.name]] : [])))
  for (const { id, type, attachment, ipv4, ipv6 } of c.cloud.simulator.store.state.list('eni')) {
    const name = machines.get(attachment?.instanceId ?? '')
    if (name === undefined || type === 'Primary' || c.cloud.extended.has(id) || (ipv4.length <= 1 && ipv6.length <= 1)) continue
    fail(`ENI ${id} of ${name} has more than one pod needs: ${[...ipv4, ...ipv6].join()}`)
  }
  for (const node of c.nodes.values()) {
    if (node.mode === 'shared') continue
    const leases = [...node.disk.leases.values()].filter(l => !isOut(c, l))
    const users = leases.map(l => ({ id: l.containerId, eniId: l.attachment.eni.eniId }))
    const devices = connected(c, node).map(({ id }) => ({ id, eniId: node.given.get(id)?.eniId ?? '' }))
    for (const all of [users, devices])
      for (const { id, eniId } of all) {
        const other = all.find(o => o.eniId === eniId && o.id !== id)
        if (other !== undefined) fail(`ENI ${eniId} of ${node.name} serves ${id} and ${other.id}`)
      }
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
  const runtime = c.api.read(nodeRuntimes, name)
  const leases = [...(node?.disk.leases.values() ?? [])]
  const held = node?.central === true ? new Set<string>(leases.flatMap(addressesOf)) : heldByRuntime(runtime)
  const nics = Object.values(cr.status?.networkInterfaces ?? {})
  for (const nic of nics) {
    const eni = enis.find(e => e.id === nic.id)
    if (nic.status !== 'InUse' || eni?.status !== 'InUse')
      fail(`at rest: ${name}/${nic.id} is ${nic.status} in the CR and ${eni?.status} in the cloud`)
    sameAddresses(`${name}/${nic.id}`, nic.ipv4, eni.ipv4)
    sameAddresses(`${name}/${nic.id}`, nic.ipv6, eni.ipv6)
    addressesAtRest(name, nic, runtime, held)
  }
  const live = Object.values(runtime?.status?.pods ?? {}).filter(isLive)
  if (leases.length !== live.length) fail(`at rest: ${name} has ${leases.length} leases and reports ${live.length} pods`)
  if (leases.length !== node?.sandboxes.size) fail(`at rest: ${name} has ${leases.length} leases and ${node?.sandboxes.size} sandboxes`)
  const devices = node.kernel.links.size
  if (devices !== leases.length) fail(`at rest: ${name} has ${devices} devices and ${leases.length} leases`)
  const { minPoolSize: min = 0, maxPoolSize: max = 0 } = cr.spec.pool ?? {}
  const sum = (of: (nic: Nic) => number) => nics.reduce((n, nic) => n + of(nic), 0)
  const idle = sum(nic => podsWith(c, node.mode, nic, a => !held.has(a.ip)))
  // A primary address cannot leave while its ENI serves somebody else; alone, it serves nobody without IPv4.
  const alone = node.mode === 'exclusive'
  const primaries = alone || c.variant.stack === 'ipv6' ? 0 : sum(nic => Object.values(nic.ipv4 ?? {}).filter(a => a.primary).length)
  const full = leases.length + idle >= capacityOf(c.variant, node.mode)
  if (idle < min && !full) fail(`at rest: ${name} has ${idle} idle addresses, fewer than ${min}`)
  if (alone) offered(c, node)
  if (idle > max + primaries) fail(`at rest: ${name} has ${idle} idle addresses, more than ${max} and ${primaries} primary ones`)
}

/** The scheduler can count the ENIs. */
function offered(c: Cluster, node: SimNode): void {
  const { status } = c.api.read(nodes, node.name) ?? {}
  const says = [status?.capacity, status?.allocatable].map(r => Number(r?.['aliyun/eni']))
  const has = capacityOf(c.variant, node.mode)
  if (says.some(n => n !== has)) fail(`at rest: ${node.name} offers ${says.join()} ENIs to pods, and has ${has}`)
}

function sameAddresses(at: string, record: Nic['ipv4'], cloud: readonly string[]): void {
  const [ours, theirs] = [Object.values(record ?? {}).map(a => a.ip), cloud].map(ips => [...ips].sort().join())
  if (ours !== theirs) fail(`at rest: ${at} has ${ours} in the CR and ${theirs} in the cloud`)
}

function addressesAtRest(name: string, nic: Nic, runtime: NodeRuntime | undefined, held: Pick<ReadonlySet<string>, 'has'>): void {
  for (const { ip, status, podUID } of Object.values({ ...nic.ipv4, ...nic.ipv6 })) {
    if (status !== 'Valid') fail(`at rest: ${name}/${ip} is ${status}, answer ${JSON.stringify(runtime?.status?.releases?.[ip])}`)
    if (held.has(ip) !== (podUID !== undefined)) fail(`at rest: ${name}/${ip} is held: ${held.has(ip)}, mirrored: ${podUID}`)
  }
}
