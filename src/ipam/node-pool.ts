// SPDX-License-Identifier: Apache-2.0
import { type BookView, podIdOf } from '#ipam/book.ts'
import { parseNic } from '#ipam/nic.ts'
import type { Nic, NicIp, NodeCr } from '#kube/crd/node.ts'
import type { Cidr } from '#net/cidr.ts'
import { type Family, familyOf, type Ip } from '#net/ip.ts'
import type { Mac } from '#net/mac.ts'
import { type Stack, stackOf } from '#net/stack.ts'

/**
 * leased: in the ledger, in whatever state. cooling: released less than the floor ago. releasing: the controller wants it
 * back, or the cloud has lost it. barred: given back by us (acked), on an ENI that takes no pods, or bound to a live pod
 * that this daemon has no lease for.
 */
export type AddressState = 'idle' | 'leased' | 'cooling' | 'releasing' | 'barred'

/** One address of the node as the daemon may use it now. */
export interface PoolAddress {
  readonly ip: Ip
  readonly family: Family
  readonly eniId: string
  readonly state: AddressState
  /** Why it is in this state, for people; empty for a plain idle address. */
  readonly reason: string
  /** When it was last released here (wall ms); 0 = never, or long ago. Idle addresses are given oldest first. */
  readonly releasedAt: number
  /** As Node.status has it: Valid, Invalid, Deleting. */
  readonly status: string
  readonly primary: boolean
  /** Barred for everyone but the pod that Node.status names: that pod is alive and has no lease here. */
  readonly reserved?: true
  /** namespace/name and UID of the pod that Node.status names. */
  readonly podId?: string
  readonly podUid?: string
}

export interface PoolEni {
  readonly eniId: string
  readonly mac?: Mac
  readonly type: string
  readonly status: string
  /** InUse, schedulable and complete: its idle addresses may be leased. */
  readonly usable: boolean
  /** Why it is not usable; empty when it is. */
  readonly reason: string
  readonly subnet4?: Cidr
  readonly subnet6?: Cidr
  /** Sorted. */
  readonly addresses: readonly PoolAddress[]
  /** `InsufficientIP: message`, as the controller reports them. */
  readonly conditions: readonly string[]
}

export type Counts = Readonly<Record<AddressState, number>>

export interface PoolView {
  /** Sorted by id. */
  readonly enis: readonly PoolEni[]
  readonly counts: Readonly<Record<Family, Counts>>
}

/** What the instance type and the plan for the node allow; undefined while the Node CR does not say. */
export interface NodeLimits {
  /** ENIs of the pool: without the primary one. */
  readonly enis: number | undefined
  readonly ipv4PerEni: number | undefined
  readonly ipv6PerEni: number | undefined
  readonly stack: Stack
}

export function limitsOf(node: NodeCr | undefined): NodeLimits {
  const { nodeCap, flavor, eni } = node?.spec ?? {}
  const slots = nodeCap?.adapters === undefined ? undefined : Math.max(0, nodeCap.adapters - 1)
  const planned = flavor?.filter(f => f.networkInterfaceTrafficMode === 'Standard').reduce((n, f) => n + f.count, 0)
  return {
    enis: slots === undefined || !flavor?.length ? slots : Math.min(slots, planned ?? 0),
    ipv4PerEni: nodeCap?.ipv4PerAdapter,
    ipv6PerEni: nodeCap?.ipv6PerAdapter,
    stack: stackOf(eni),
  }
}

export interface PoolInput {
  /** Undefined while the Node CR has not been seen. */
  readonly node: NodeCr | undefined
  readonly book: BookView
  /** Wall-clock milliseconds; the ledger's times are of the same clock. */
  readonly now: number
  readonly coolingFloor: number
  /** Whether this is a live pod of the node that holds no lease: its address may be in use by a sandbox we did not make. */
  readonly liveWithoutLease: (podId: string, podUid: string | undefined) => boolean
}

/** The node's ENIs and addresses as docs/addresses.md defines their states. Never throws: an ENI that cannot be read is unusable and says why. */
export function poolView(input: PoolInput): PoolView {
  const nics = Object.entries(input.node?.status?.networkInterfaces ?? {})
  const enis = nics.map(([id, nic]) => eniView(id, nic, input)).sort((a, b) => (a.eniId < b.eniId ? -1 : 1))
  const counts = { 4: noCounts(), 6: noCounts() }
  for (const address of enis.flatMap(e => e.addresses)) counts[address.family][address.state]++
  return { enis, counts }
}

/**
 * Whether an address released at `since` still rests at `now`. A `since` in the future means that the wall clock was set
 * back; beyond one floor ahead nothing can be said, and the address counts as rested.
 */
export function isCooling(since: number, now: number, floor: number): boolean {
  return Math.abs(now - since) < floor
}

function eniView(eniId: string, nic: Nic, input: PoolInput): PoolEni {
  const { addresses, problem, ...device } = parseNic(nic)
  const reason = unusable(nic) || problem
  const usable = reason === ''
  return {
    eniId,
    ...device,
    type: nic.networkInterfaceType ?? '',
    status: nic.status,
    usable,
    reason,
    addresses: addresses.map(({ ip, record }) => addressView(ip, eniId, record, usable ? '' : `ENI ${eniId} ${reason}`, input)),
    conditions: Object.entries(nic.conditions ?? {}).map(([name, c]) => `${name}: ${c.message ?? ''}`),
  }
}

function unusable(nic: Nic): string {
  if (nic.status !== 'InUse') return `is ${nic.status}, not InUse`
  if (nic.unschedulable === true) return 'is unschedulable'
  if (nic.networkInterfaceType === 'Primary' || nic.networkInterfaceType === 'Member') return `is of type ${nic.networkInterfaceType}`
  // Plain pods never use HighPerformance addresses, as with Terway.
  if (nic.networkInterfaceTrafficMode === 'HighPerformance') return 'carries RDMA traffic only'
  return ''
}

function addressView(ip: Ip, eniId: string, record: NicIp, eniProblem: string, input: PoolInput): PoolAddress {
  const since = input.book.coolingSince(ip)
  return {
    ip,
    family: familyOf(ip),
    eniId,
    ...stateOf(ip, record, eniProblem, input),
    releasedAt: since ?? 0,
    status: record.status,
    primary: record.primary,
    ...(record.podID ? { podId: record.podID } : {}),
    ...(record.podUID ? { podUid: record.podUID } : {}),
  }
}

type Verdict = Pick<PoolAddress, 'state' | 'reason' | 'reserved'>

function stateOf(ip: Ip, record: NicIp, eniProblem: string, input: PoolInput): Verdict {
  const { book, now, coolingFloor, liveWithoutLease } = input
  const verdict = (state: AddressState, reason: string): Verdict => ({ state, reason })
  const lease = book.holder(ip)
  if (lease !== undefined) return verdict('leased', `${lease.state}: ${podIdOf(lease)}, container ${lease.containerId}`)
  const release = book.release(ip)
  if (release?.answer === 'acked') return verdict('barred', `given back to the controller (nonce ${release.nonce})`)
  if (record.status !== 'Valid' || record.releaseNonce) return verdict('releasing', `${record.status} in Node.status`)
  if (eniProblem !== '') return verdict('barred', eniProblem)
  const since = book.coolingSince(ip)
  if (since !== undefined && isCooling(since, now, coolingFloor)) {
    return verdict('cooling', `released ${Math.max(0, now - since)} ms ago, rests ${coolingFloor} ms`)
  }
  if (record.podID && liveWithoutLease(record.podID, record.podUID || undefined)) {
    return { state: 'barred', reason: `Node.status gives it to the live pod ${record.podID}, which has no lease here`, reserved: true }
  }
  return verdict('idle', '')
}

function noCounts(): Record<AddressState, number> {
  return { idle: 0, leased: 0, cooling: 0, releasing: 0, barred: 0 }
}
