// SPDX-License-Identifier: Apache-2.0
import type { BookView } from '#ipam/book.ts'
import { parseNic } from '#ipam/nic.ts'
import { eniModeOf, type Nic, type NicIp, type NodeCr } from '#kube/crd/node.ts'
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
  const perEni = (most: number | undefined) =>
    most !== undefined && node !== undefined && eniModeOf(node) === 'exclusive' ? Math.min(1, most) : most
  return {
    enis: slots === undefined || !flavor?.length ? slots : Math.min(slots, planned ?? 0),
    ipv4PerEni: perEni(nodeCap?.ipv4PerAdapter),
    ipv6PerEni: perEni(nodeCap?.ipv6PerAdapter),
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
  for (const { addresses } of enis) for (const { family, state } of addresses) counts[family][state]++
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
    addresses: addresses.map(({ ip, record }) => addressView(ip, eniId, record, usable, input)),
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

/** Made anew for every address at every ADD, so it makes no more than one object for most of them. */
function addressView(ip: Ip, eniId: string, record: NicIp, usable: boolean, input: PoolInput): PoolAddress {
  const { podID, podUID, status, primary } = record
  const verdict = stateOf(ip, record, usable, input)
  const state = verdict === 'reserved' ? 'barred' : verdict
  const address = { ip, family: familyOf(ip), eniId, state, releasedAt: input.book.coolingSince(ip) ?? 0, status, primary }
  if (!podID && !podUID) return address
  return {
    ...address,
    ...(verdict === 'reserved' ? { reserved: true } : {}),
    ...(podID ? { podId: podID } : {}),
    ...(podUID ? { podUid: podUID } : {}),
  }
}

function stateOf(ip: Ip, record: NicIp, usable: boolean, input: PoolInput): AddressState | 'reserved' {
  const { book, now, coolingFloor, liveWithoutLease } = input
  if (book.holder(ip) !== undefined) return 'leased'
  if (book.release(ip)?.answer === 'acked') return 'barred'
  if (record.status !== 'Valid' || record.releaseNonce) return 'releasing'
  if (!usable) return 'barred'
  const since = book.coolingSince(ip)
  if (since !== undefined && isCooling(since, now, coolingFloor)) return 'cooling'
  if (record.podID && liveWithoutLease(record.podID, record.podUID || undefined)) return 'reserved'
  return 'idle'
}

function noCounts(): Record<AddressState, number> {
  return { idle: 0, leased: 0, cooling: 0, releasing: 0, barred: 0 }
}
