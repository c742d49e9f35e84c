// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { CliDeps, PodPlace } from '#cli/deps.ts'
import { mappingLines } from '#cli/mapping.ts'
import { makeProgram } from '#cli/program.ts'
import { realClock } from '#lib/clock.ts'
import { silent } from '#lib/log.ts'
import { daemonMetrics } from '#lib/metrics.ts'
import { connect } from '#rpc/grpc/client.ts'
import { exampleDaemon, FakeLeases } from '#rpc/grpc/fake.ts'
import type { Introspection } from '#rpc/grpc/port.ts'
import { serveGrpc } from '#rpc/grpc/serve.ts'

const meta: Record<string, string> = {
  mac: '00:16:3e:00:00:01',
  'network/interfaces/macs/': '00:16:3e:00:00:01/\n00:16:3e:00:00:02',
  'network/interfaces/macs/00:16:3e:00:00:01/network-interface-id': 'eni-1',
  'network/interfaces/macs/00:16:3e:00:00:01/vswitch-id': 'vsw-b',
  'network/interfaces/macs/00:16:3e:00:00:01/primary-ip-address': '192.0.2.10',
  'network/interfaces/macs/00:16:3e:00:00:01/private-ipv4s': '["192.0.2.10"]',
  'network/interfaces/macs/00:16:3e:00:00:02/network-interface-id': 'eni-2',
  'network/interfaces/macs/00:16:3e:00:00:02/vswitch-id': 'vsw-a',
  'network/interfaces/macs/00:16:3e:00:00:02/primary-ip-address': '192.0.2.20',
  'network/interfaces/macs/00:16:3e:00:00:02/private-ipv4s': '["192.0.2.20","192.0.2.21"]',
  'network/interfaces/macs/00:16:3e:00:00:02/ipv6s': '[2001:db8::1,2001:db8::2]',
}

/** Runs terway-cli against a real gRPC server and answers what it printed. */
async function cli(
  t: TestContext,
  args: readonly string[],
  options: { daemon?: Introspection; place?: PodPlace | Error; noDaemon?: boolean } = {},
) {
  const dir = await mkdtemp(join(tmpdir(), 'terway-cli-'))
  const socket = join(dir, 's')
  const daemon = options.daemon ?? exampleDaemon
  const serving = { socket, leases: new FakeLeases(), daemon, metrics: daemonMetrics(), clock: realClock, log: silent }
  const server = options.noDaemon ? undefined : await serveGrpc(serving)
  t.after(async () => {
    await server?.close()
    await rm(dir, { recursive: true })
  })
  const lines: string[] = []
  const deps: CliDeps = {
    out: line => lines.push(line),
    connect,
    kernel: () => Promise.reject(new Error('not asked')),
    switchPath: join(dir, 'datapath'),
    metadata: () => ({ get: async path => meta[path] }),
    policy: async () => undefined,
    events: async () => ({ read: () => ({ events: [], lost: false }), close: () => {} }),
    stopped: () => AbortSignal.abort(),
    findService: async () => undefined,
    findNode: async () => undefined,
    findPod: async () => {
      if (options.place instanceof Error) throw options.place
      return options.place
    },
  }
  const program = makeProgram(deps)
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
  for (const command of program.commands) command.exitOverride().configureOutput({ writeErr: () => {} })
  await program.parseAsync(['--socket', socket, ...args], { from: 'user' })
  return lines.join('\n')
}

test('list: types, then names', async t => {
  assert.equal(await cli(t, ['list']), '• network_service')
  assert.equal(await cli(t, ['list', 'network_service']), '• default')
})

test('show prints configuration and trace as a tree, with and without a name', async t => {
  const expected = `network_service/default
├─ binding: local
├─ config_file_path: /etc/eni/eni_conf
├─ daemon_mode: ENIMultiIP
├─ name: node-1
├─ pending_pods
│  └─ default
│     └─ web-1: lease: no idle address
├─ pending_pods_count: 1
└─ pods
   └─ default
      └─ web-0
         └─ resources: held 00:16:3e:00:00:01.192.0.2.17`
  assert.equal(await cli(t, ['show', 'network_service', 'default']), expected)
  assert.equal(await cli(t, ['show', 'network_service']), expected)
  await assert.rejects(cli(t, ['show']), /missing required argument/)
})

test('mapping prints ENIs with addresses and pods, then the leases', async t => {
  assert.equal(
    await cli(t, ['mapping']),
    `ENI: eni-1
├─ MAC: 00:16:3e:00:00:01
├─ Status: InUse
├─ Type: Secondary
└─ IPs
   ├─ 192.0.2.10 idle primary
   ├─ 192.0.2.17 held default/web-0
   ├─ 192.0.2.18 barred Deleting
   └─ InsufficientIP: vsw-1 has no free address
ENI: eni-2
├─ MAC: 00:16:3e:00:00:02
├─ Status: Attaching
└─ Type: Secondary
Resource DB (1 entry)
└─ default/web-0 -> eni-1 192.0.2.17`,
  )
})

test('mapping shows the addresses of both families, or of IPv6 alone', async t => {
  const [lease] = exampleDaemon.snapshot().leases
  assert.ok(lease)
  const { ipv4: _, ...six } = { ...lease, name: 'six', ipv6: '2001:db8::18' }
  const leases = [{ ...lease, ipv6: '2001:db8::17' }, six]
  const daemon = { ...exampleDaemon, snapshot: () => ({ ...exampleDaemon.snapshot(), leases }) }
  assert.deepEqual((await cli(t, ['mapping'], { daemon })).split('\n').slice(-2), [
    '├─ default/web-0 -> eni-1 192.0.2.17,2001:db8::17',
    '└─ default/six -> eni-1 2001:db8::18',
  ])
})

test('mapping says which pods have an ENI for themselves', async t => {
  const leases = exampleDaemon.snapshot().leases.map(l => ({ ...l, exclusive: true as const }))
  const daemon = { ...exampleDaemon, snapshot: () => ({ ...exampleDaemon.snapshot(), leases }) }
  assert.equal((await cli(t, ['mapping'], { daemon })).split('\n').at(-1), '└─ default/web-0 -> eni-1 192.0.2.17 (exclusive)')
})

test('mapping --json is the reply itself', async t => {
  const reply = JSON.parse(await cli(t, ['mapping', '--json']))
  assert.deepEqual(reply.resource_db[0].pod_name, 'web-0')
  assert.equal(reply.info.length, 2)
})

test('mapping of a daemon with prefixes and an inhibited ENI', () => {
  const prefix = {
    prefix: '192.0.2.16/28',
    status: 'Valid',
    total: 16,
    used: 1,
    available: 15,
    allocations: [{ ip: '192.0.2.17', pod_id: 'a/b' }],
  }
  const eni = { NetworkInterfaceID: 'e', MAC: 'm', Type: 'Trunk', AllocInhibitExpireAt: '12:00', Status: 'InUse', Info: [] }
  assert.deepEqual(mappingLines({ info: [{ ...eni, ipv4_prefixes: [prefix], ipv6_prefixes: [] }], resource_db: [] }), [
    'ENI: e',
    '├─ MAC: m',
    '├─ Status: InUse',
    '├─ Type: Trunk',
    '├─ InhibitExpireAt: 12:00',
    '└─ IPv4 Prefixes',
    '   └─ 192.0.2.16/28 [Valid] 16 total, 1 used, 15 free',
    '      └─ 192.0.2.17 -> a/b',
    'Resource DB (0 entries)',
  ])
})

test('execute streams the output of a command of the daemon', async t => {
  assert.equal(
    await cli(t, ['execute', 'network_service', 'default', 'why', 'default/web-1']),
    'default/web-1 waits in step lease\nno idle address on eni-1',
  )
  await assert.rejects(cli(t, ['execute', 'network_service', 'default', 'reboot']), /known are mapping, resdb, why/)
})

test('metadata groups ENIs by vSwitch and leaves out what there is none of', async t => {
  assert.equal(
    await cli(t, ['metadata'], { noDaemon: true }),
    `vsw-a
└─ eni-2 (00:16:3e:00:00:02)
   ├─ primary: false
   ├─ primary_ipv4: 192.0.2.20
   ├─ secondary_ipv4s
   │  └─ 192.0.2.21
   └─ ipv6
      ├─ 2001:db8::1
      └─ 2001:db8::2
vsw-b
└─ eni-1 (00:16:3e:00:00:01)
   ├─ primary: true
   └─ primary_ipv4: 192.0.2.10`,
  )
})

test('why asks the daemon of this node', async t => {
  assert.equal(await cli(t, ['why', 'default/web-1']), 'default/web-1 waits in step lease\nno idle address on eni-1')
  await assert.rejects(cli(t, ['why', 'web-1']), /the pod "web-1": name it as namespace\/name, as default\/web-1/)
})

test('why elsewhere says which node has the pod and how to ask there', async t => {
  const place = { nodeName: 'node-2', phase: 'Pending', hostNetwork: false }
  const elsewhere = await cli(t, ['why', 'default/web-1'], { noDaemon: true, place })
  assert.match(elsewhere, /^default\/web-1 is on node node-2; ask the daemon there:/)
  assert.match(elsewhere, /exec <that pod> -c terway -- terway-cli why default\/web-1$/)
  const stranger = { ...exampleDaemon, why: async () => ['default/web-1: unknown', 'no lease and no ADD in progress'] }
  assert.match(await cli(t, ['why', 'default/web-1'], { daemon: stranger, place }), /^default\/web-1: unknown\n.*\n.* is on node node-2/)
})

test('why says what the API server knows of a pod that no daemon can know', async t => {
  const ask = (place?: PodPlace | Error) => cli(t, ['why', 'a/b'], { noDaemon: true, ...(place && { place }) })
  assert.match(await ask(), /has no pod a\/b/)
  assert.match(await ask({ nodeName: 'n', phase: 'Running', hostNetwork: true }), /uses the network of its node/)
  assert.match(await ask({ phase: 'Pending', hostNetwork: false }), /not scheduled/)
  assert.match(await ask(new Error('no kubeconfig')), /cannot ask the API server.*no kubeconfig/)
})

test('install replaces a program in one step, leaves an identical one alone, and nothing beside it', async t => {
  const dir = await mkdtemp(join(tmpdir(), 'terway-install-'))
  t.after(() => rm(dir, { recursive: true }))
  const target = join(dir, 'bin/terway')
  await writeFile(join(dir, 'shim'), 'one', { mode: 0o600 })
  assert.equal(await cli(t, ['install', join(dir, 'shim'), target]), `${target} installed`)
  assert.equal((await stat(target)).mode & 0o777, 0o755)
  assert.equal(await cli(t, ['install', join(dir, 'shim'), target]), `${target} is up to date`)
  await writeFile(join(dir, 'shim'), 'two')
  await cli(t, ['install', join(dir, 'shim'), target])
  assert.equal(await readFile(target, 'utf8'), 'two')
  assert.deepEqual(await readdir(join(dir, 'bin')), ['terway'])
  await assert.rejects(cli(t, ['install', join(dir, 'absent'), target]), /ENOENT/)
})

test('cni writes the list from the mounted configuration and refuses a directory without one', async t => {
  const dir = await mkdtemp(join(tmpdir(), 'terway-cni-'))
  t.after(() => rm(dir, { recursive: true }))
  const output = join(dir, '10-terway.conflist')
  await assert.rejects(cli(t, ['cni', '--output', output, '--config-dir', dir]), /10-terway.conf is missing/)
  await writeFile(join(dir, '10-terway.conf'), '{"type":"terway","cniVersion":"0.4.0","name":"terway"}')
  await cli(t, ['cni', '--output', output, '--config-dir', dir])
  assert.equal(JSON.parse(await readFile(output, 'utf8')).plugins[0].type, 'terway')
  assert.equal((await stat(output)).mode & 0o777, 0o600)
})
