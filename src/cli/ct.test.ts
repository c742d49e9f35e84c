// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ctList, ctStatus, ctTop } from '#cli/ct.ts'
import type { CliDeps } from '#cli/deps.ts'
import { endpointList } from '#cli/endpoint.ts'
import { type MapName, maps } from '#kernel/bpf/maps.ts'
import { seenNow } from '#kernel/bpf/seen.ts'
import { addressState, credits, flowFlag, flowKind, flowState, flowWay, made, sumOf } from '#kernel/bpf/words.ts'
import type { Kernel } from '#kernel/port.ts'
import { parseIp } from '#net/ip.ts'
import type { TerwayClient } from '#rpc/grpc/client.ts'

const second = 954
const key = (local: string, localPort: number, remote: string, remotePort: number, kind = 0, protocol = 6) =>
  maps.flows.key.encode({ local: parseIp(local), localPort, remote: parseIp(remote), remotePort, protocol, kind })
const index = (n: number) => maps.credits.key.encode({ index: n })
const word = (value: bigint) => maps.credits.value.encode({ value })
const sums = (v: Parameters<typeof maps.table_sums.value.encode>[0]) => maps.table_sums.value.encode(v)
const flow = (v: Parameters<typeof maps.flows.value.encode>[0]) => maps.flows.value.encode(v)

/** A node with a pod that speaks to a Service, whose backend is elsewhere, and to which somebody outside speaks. */
function node() {
  const now = seenNow()
  const open = { seen: now - 5 * second, state: flowState.open }
  const tables: Record<string, readonly object[]> = {
    flows: [
      { key: key('10.0.1.5', 4000, '10.96.0.10', 80), value: flow({ ...open, way: flowWay.service, frontend: 1, backend: 7 }) },
      {
        key: key('10.0.1.5', 4000, '10.0.2.6', 8080),
        value: flow({ ...open, way: flowWay.direct, frontend: 1, txPackets: 3, txBytes: 300n, rxPackets: 2, rxBytes: 9000n }),
      },
    ],
    new_flows: [
      {
        key: key('fd00::5', 53, '2001:db8::7', 999, 0, 17),
        value: flow({
          seen: now - 100 * second,
          state: flowState.new,
          way: flowWay.host,
          flags: flowFlag.remoteFirst,
          rxBytes: 60n,
          rxPackets: 50,
        }),
      },
    ],
    // Two CPUs.
    table_sums: [{ key: index(sumOf.flows), value: Buffer.concat([sums({ put: 6n }), sums({ put: 3n, taken: 1n })]) }],
    credits: [{ key: index(credits.flows + credits.removed), value: word(2n) }],
    flows_made: [
      { key: index(made.direct), value: Buffer.concat([word(2n), word(3n)]) },
      { key: index(made.service + 2), value: Buffer.concat([word(2n), word(0n)]) },
    ],
    node_flows: [
      {
        key: key('192.0.2.10', 61001, '10.0.2.6', 8080, flowKind.backend),
        value: maps.node_flows.value.encode({ ...open, client: parseIp('203.0.113.5'), frontend: 1, backend: 7, packets: 4, bytes: 400n }),
      },
    ],
    frontends: [
      { key: maps.frontends.key.encode({ frontend: 1 }), value: maps.frontends.value.encode({ ip: parseIp('10.96.0.10'), port: 80 }) },
    ],
    endpoints: [{ key: maps.endpoints.key.encode({ ifIndex: 20 }), value: maps.endpoints.value.encode({ mtu: 1500, outIfIndex: 7 }) }],
    addresses: [
      {
        key: maps.addresses.key.encode({ ip: parseIp('10.0.1.5') }),
        value: maps.addresses.value.encode({ endpoint: 20, incarnation: 1, state: addressState.live }),
      },
    ],
  }
  const lines: string[] = []
  const kernel = {
    mapEntries: async (map: string) => tables[map] ?? [],
    countEntries: async (map: string) => (map === 'host_notes' ? { used: 0, room: 0 } : { used: tables[map]?.length ?? 0, room: 16 }),
    observe: async () => [{ links: [{ index: 20, name: 'cali0123456789a' }] }],
    close: async () => {},
  } as unknown as Kernel
  const daemon = {
    mapping: async () => ({ resource_db: [{ ipv4: '10.0.1.5', ipv6: '', pod_namespace: 'shop', pod_name: 'web' }] }),
    close: () => {},
  } as unknown as TerwayClient
  return {
    deps: { out: (line: string) => lines.push(line), connect: () => daemon, kernel: async () => kernel } as unknown as CliDeps,
    lines,
  }
}

test('flows with their pods and Services; an outdated one is left out unless it is asked for', async () => {
  const { deps, lines } = node()
  await ctList(deps, 's', {}, 'text')
  assert.deepEqual(lines, [
    'KIND     PROTO  STATE  WAY      LOCAL                 REMOTE         FRONTEND       POD       SENT  RECEIVED  IDLE',
    'choice   TCP    open   service  10.0.1.5:4000     ->  10.96.0.10:80  10.96.0.10:80  shop/web     0         0  5s',
    'pod      TCP    open   direct   10.0.1.5:4000     ->  10.0.2.6:8080  10.96.0.10:80  shop/web   300      9000  5s',
    'backend  TCP    open   -        192.0.2.10:61001  <-  10.0.2.6:8080  10.96.0.10:80  -            0       400  5s',
  ])
  const all = node()
  await ctList(all.deps, 's', { all: true, protocol: 'udp' }, 'text')
  assert.match(all.lines[1] ?? '', /^pod +UDP +new +host +\[fd00::5\]:53 +<- +\[2001:db8::7\]:999 +- +- +0 +60 +100s$/)
})

test('a choice counts as long as the flow that it led to', async () => {
  const { deps } = node()
  const { mapEntries, ...kernel } = await deps.kernel()
  const old = flow({ seen: seenNow() - 30_000 * second, state: flowState.open, way: flowWay.service, frontend: 1, backend: 7 })
  const shown = async (also: (keys: { key: Uint8Array; value: Uint8Array }) => boolean) => {
    const lines: string[] = []
    const flows = async (map: MapName) => {
      const [choice, ...rest] = await mapEntries(map)
      return map === 'flows' && choice !== undefined ? [{ ...choice, value: old }, ...rest.filter(also)] : mapEntries(map)
    }
    const aged = { ...deps, out: (line: string) => lines.push(line), kernel: async () => ({ ...kernel, mapEntries: flows }) }
    await ctList(aged, 's', { pod: 'shop/web' }, 'json')
    return JSON.parse(lines[0] ?? '').map((r: { kind: string }) => r.kind)
  }
  assert.deepEqual(await shown(() => true), ['choice', 'pod'])
  assert.deepEqual(await shown(() => false), [])
})

test('what narrows it', async () => {
  const kinds = async (filter: Parameters<typeof ctList>[2]) => {
    const { deps, lines } = node()
    await ctList(deps, 's', filter, 'json')
    return JSON.parse(lines[0] ?? '').map((r: { kind: string }) => r.kind)
  }
  assert.deepEqual(await kinds({ pod: 'shop/web' }), ['choice', 'pod'])
  assert.deepEqual(await kinds({ pod: 'shop/other' }), [])
  assert.deepEqual(await kinds({ ip: '192.0.2.10' }), ['backend'])
  assert.deepEqual(await kinds({ ip: '10.96.0.1' }), [])
  assert.deepEqual(await kinds({ port: 4000 }), ['choice', 'pod'])
  assert.deepEqual(await kinds({ port: 80 }), ['choice', 'pod', 'backend'])
  assert.deepEqual(await kinds({ state: 'new' }), [])
  assert.deepEqual(await kinds({ state: 'new', all: true }), ['pod'])
  assert.deepEqual(await kinds({ ip: 'FD00:0::5', all: true }), ['pod'])
})

test('what no flow has is refused', async () => {
  for (const filter of [{ ip: '10.0.0' }, { ip: 'web' }, { port: 65_536 }, { state: 'closed' }, { pod: 'web' }])
    await assert.rejects(ctList(node().deps, 's', filter, 'text'), { code: /^bad-(ip|argument)$/ }, JSON.stringify(filter))
})

test('who carried most', async () => {
  const { deps, lines } = node()
  await ctTop(deps, 's', 'bytes', 2, 'json')
  await ctTop(deps, 's', 'packets', 1, 'json')
  const [bytes, packets] = lines.map(line => JSON.parse(line).map((r: { local: string }) => r.local))
  assert.deepEqual([bytes, packets], [['10.0.1.5', '192.0.2.10'], ['fd00::5']])
  await ctTop(deps, 's', 'flows', 5, 'text')
  assert.deepEqual(lines.slice(2), ['POD       FLOWS', 'shop/web      1'])
  await assert.rejects(ctTop(deps, 's', 'age', 1, 'json'), { code: 'bad-argument' })
})

test('how full the tables are', async () => {
  const { deps, lines } = node()
  await ctStatus(deps, 'text')
  assert.deepEqual(lines, [
    'TABLE           ENTRIES  ROOM  FULL   EVICTED',
    'flows                 2    16  12.5%  4',
    'new_flows             1    16  6.3%   0',
    'node_flows            1    16  6.3%   -',
    'new_node_flows        0    16  0.0%   -',
    'host_notes            0     0  -      -',
    '',
    'FLOWS    PROTO  BEGAN',
    'direct   TCP        5',
    'service  other      2',
  ])
})

test('pods as the programs know them', async () => {
  const { deps, lines } = node()
  await endpointList(deps, 's', 'text')
  assert.deepEqual(lines, [
    'NUMBER  DEVICE           POD       ADDRESSES  STATE   MTU  ENI  SHAPED',
    '    20  cali0123456789a  shop/web  10.0.1.5   live   1500    7  no',
  ])
})

test('a node without programs says so, and shows no empty table', async () => {
  const { deps, lines } = node()
  const kernel = { ...(await deps.kernel()), countEntries: async () => ({ used: 0, room: 0 }) }
  const bare: CliDeps = { ...deps, kernel: async () => kernel }
  for (const asked of [ctList(bare, 's', {}, 'json'), ctStatus(bare, 'text'), endpointList(bare, 's', 'text')])
    await assert.rejects(asked, { code: 'no-programs' })
  assert.deepEqual(lines, [])
})
