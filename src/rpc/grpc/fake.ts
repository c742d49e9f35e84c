// SPDX-License-Identifier: Apache-2.0
import { AppError } from '#lib/errors.ts'
import type { DaemonSnapshot, Introspection, LeaseService, SandboxNetwork, SandboxRef } from '#rpc/grpc/port.ts'

/** One dual-stack interface with every field set, and addresses from documentation ranges. */
export const exampleNetwork: SandboxNetwork = {
  interfaces: [
    {
      ifName: 'eth0',
      v4: { address: '192.0.2.17', subnet: '192.0.2.0/24', gateway: '192.0.2.253' },
      v6: { address: '2001:db8::17', subnet: '2001:db8::/64', gateway: '2001:db8::ffff:ffff:ffff:fffd' },
      eni: { eniId: 'eni-1', mac: '00:16:3e:00:00:01', gateway4: '192.0.2.253' },
      defaultRoute: true,
      extraRoutes: ['198.51.100.0/24'],
      ingressBytesPerSecond: 1_000_000,
      egressBytesPerSecond: 300,
    },
  ],
  serviceCidr4: '10.96.0.0/12',
  networkPriority: 'burstable',
}

export const exampleSnapshot: DaemonSnapshot = {
  node: 'node-1',
  config: { name: 'node-1', daemon_mode: 'ENIMultiIP', config_file_path: '/etc/eni/eni_conf' },
  trace: { binding: 'local' },
  enis: [
    {
      id: 'eni-1',
      mac: '00:16:3e:00:00:01',
      type: 'Secondary',
      status: 'InUse',
      addresses: [
        { ip: '192.0.2.10', primary: true, status: 'Valid', use: 'idle' },
        { ip: '192.0.2.17', primary: false, status: 'Valid', use: 'held', podId: 'default/web-0' },
        { ip: '192.0.2.18', primary: false, status: 'Deleting', use: 'barred' },
      ],
      conditions: ['InsufficientIP: vsw-1 has no free address'],
    },
    { id: 'eni-2', mac: '00:16:3e:00:00:02', type: 'Secondary', status: 'Attaching', addresses: [], conditions: [] },
  ],
  leases: [
    {
      namespace: 'default',
      name: 'web-0',
      uid: 'uid-0',
      containerId: 'c0',
      state: 'held',
      owner: 'cni',
      eniId: 'eni-1',
      eniMac: '00:16:3e:00:00:01',
      ipv4: '192.0.2.17',
      since: 1_700_000_000_000,
    },
  ],
  cooling: [],
  releases: [{ ip: '192.0.2.18', nonce: 'n1', answer: 'acked', since: 1_700_000_000_000 }],
  waiting: [{ namespace: 'default', name: 'web-1', containerId: 'c1', step: 'lease', since: 1_700_000_000_000, reason: 'no idle address' }],
}

export const exampleDaemon: Introspection = {
  snapshot: () => exampleSnapshot,
  why: async (namespace, name) => [`${namespace}/${name} waits in step lease`, 'no idle address on eni-1'],
}

/** A daemon with one pod, for tests of what stands in front of it. Keeps what it was asked. */
export class FakeLeases implements LeaseService {
  readonly events: unknown[] = []
  readonly released: SandboxRef[] = []
  /** Resolved before alloc answers, to hold a call open. */
  gate: Promise<void> = Promise.resolve()

  async alloc(r: SandboxRef) {
    await this.gate
    if (r.name === 'absent') return { refused: 'IPNotAllocated', message: 'no idle address: vsw-1 is full' } as const
    if (r.name === 'broken') throw new Error('ledger is gone')
    if (r.name === 'full') throw new AppError('ledger-full', 'ledger /x cannot grow')
    return exampleNetwork
  }

  async release(r: SandboxRef) {
    this.released.push(r)
    return { released: r.name === 'web-0' }
  }

  async info(r: SandboxRef) {
    return r.name === 'web-0' ? exampleNetwork : undefined
  }

  async recordEvent(e: unknown) {
    this.events.push(e)
  }
}
