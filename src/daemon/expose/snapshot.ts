// SPDX-License-Identifier: Apache-2.0
import type { DaemonState } from '#daemon/state.ts'
import { addressesOf, podIdOf } from '#ipam/book.ts'
import type { Lease } from '#ipam/ledger.ts'
import type { PoolAddress, PoolEni } from '#ipam/node-pool.ts'
import type { DaemonMetrics } from '#lib/metrics.ts'
import type { DaemonSnapshot, EniRow, Introspection, LeaseRow } from '#rpc/grpc/port.ts'

/** The daemon's state as the value that gRPC, /debug/state and the CLI show. `config` are the keys of Terway's tracing. */
export function snapshotOf(state: DaemonState, config: Readonly<Record<string, string>>): DaemonSnapshot {
  const leases = state.leases()
  const byAddress = new Map(leases.flatMap(l => addressesOf(l).map(ip => [ip, l] as const)))
  const binding = state.binding()
  return {
    node: state.nodeName,
    config: state.eniMode() === 'exclusive' ? { ...config, daemon_mode: 'ENIOnly' } : config,
    trace: { binding: `${binding.mode}: ${binding.reason}`, ...state.trace() },
    enis: state.pool().enis.map(eni => eniRow(eni, byAddress)),
    leases: leases.map(leaseRow),
    cooling: state.cooling().map(c => ({ ip: c.ip, since: c.since })),
    releases: state.releases().map(r => ({ ip: r.ip, nonce: r.nonce, answer: r.answer, since: r.since })),
    waiting: state.waiting().map(w => ({ ...w })),
  }
}

export function introspection(state: DaemonState, config: Readonly<Record<string, string>>): Introspection {
  return {
    snapshot: () => snapshotOf(state, config),
    why: async (namespace, name) => {
      const { pod, state: found, findings } = state.why(namespace, name)
      return [`${pod}: ${found}`, ...findings]
    },
  }
}

/** Sets the gauges that are read at each scrape rather than counted. The limits that Terway puts in labels (max_eni, max_ip) are empty while the Node CR does not name them. */
export function refreshGauges(m: DaemonMetrics, state: DaemonState): void {
  const pool = state.pool()
  const limits = state.limits()
  for (const [family, ipStack] of [
    [4, 'ipv4'],
    [6, 'ipv6'],
  ] as const) {
    const counts = pool.counts[family]
    m.poolTotal.set(
      { type: 'local', ipStack },
      Object.values(counts).reduce((a, b) => a + b, 0),
    )
    m.poolIdle.set({ type: 'local', ipStack }, counts.idle)
  }
  m.poolAllocated.set({ type: 'local' }, state.leases().length)
  m.factoryEniCount.reset()
  m.factoryEniCount.set({ name: 'local', max_eni: String(limits.enis ?? '') }, pool.enis.length)
  m.factoryIpCount.reset()
  // One number for each ENI, as with Terway: a dual-stack pod counts once.
  const [family, max] = limits.stack === 'ipv6' ? [6, limits.ipv6PerEni] : [4, limits.ipv4PerEni]
  for (const eni of pool.enis) {
    const count = eni.addresses.filter(a => a.family === family).length
    m.factoryIpCount.set({ name: 'local', eni: eni.eniId, max_ip: String(max ?? '') }, count)
  }
}

function eniRow(eni: PoolEni, leases: ReadonlyMap<string, Lease>): EniRow {
  return {
    id: eni.eniId,
    mac: eni.mac ?? '',
    type: eni.type,
    status: eni.status,
    addresses: eni.addresses.map(a => addressRow(a, leases.get(a.ip))),
    conditions: eni.usable || eni.reason === '' ? eni.conditions : [`not used: ${eni.reason}`, ...eni.conditions],
  }
}

/** A leased address shows its lease's own state; any other what the pool says of it. */
function addressRow(a: PoolAddress, lease: Lease | undefined): EniRow['addresses'][number] {
  const podId = lease === undefined ? a.podId : podIdOf(lease)
  const row = { ip: a.ip, primary: a.primary, status: a.status, use: lease?.state ?? a.state }
  return podId === undefined || podId === '' ? row : { ...row, podId }
}

function leaseRow(l: Lease): LeaseRow {
  const { kind, v4, v6, eni } = l.attachment
  return {
    namespace: l.podNamespace,
    name: l.podName,
    uid: l.podUid,
    containerId: l.containerId,
    state: l.state,
    owner: l.owner,
    eniId: eni.eniId,
    eniMac: eni.mac,
    ...(kind === 'exclusive-eni' && { exclusive: true as const }),
    ...(v4 && { ipv4: v4.address }),
    ...(v6 && { ipv6: v6.address }),
    since: l.since,
  }
}
