// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Client, credentials, type ServiceError } from '@grpc/grpc-js'
import { realClock } from '#lib/clock.ts'
import { silent } from '#lib/log.ts'
import { daemonMetrics } from '#lib/metrics.ts'
import { connect } from '#rpc/grpc/client.ts'
import { tracing } from '#rpc/grpc/definition.ts'
import { exampleDaemon, FakeLeases } from '#rpc/grpc/fake.ts'
import { serveGrpc } from '#rpc/grpc/serve.ts'
import { generate, generatedFile } from '../../../tools/gen-proto.ts'

async function start(t: TestContext, before?: (socket: string) => Promise<void>) {
  const dir = await mkdtemp(join(tmpdir(), 'terway-grpc-'))
  const socket = join(dir, 'eni.socket')
  await before?.(socket)
  const leases = new FakeLeases()
  const metrics = daemonMetrics()
  const server = await serveGrpc({ socket, leases, daemon: exampleDaemon, metrics, clock: realClock, log: silent })
  const client = connect(socket)
  t.after(async () => {
    client.close()
    await server.close()
    await rm(dir, { recursive: true })
  })
  return { socket, leases, metrics, client }
}

/** A call whose request and reply are bytes: what is on the wire, whatever our own .proto says. */
function rawCall(socket: string, path: string, request: Buffer): Promise<Buffer> {
  const client = new Client(`unix:${socket}`, credentials.createInsecure())
  const same = (b: Buffer) => b
  return new Promise<Buffer>((resolve, reject) => {
    client.makeUnaryRequest(path, same, same, request, (e: ServiceError | null, reply?: Buffer) => (reply ? resolve(reply) : reject(e)))
  }).finally(() => client.close())
}

async function rawStream(socket: string, path: string, request: Buffer): Promise<Buffer[]> {
  const client = new Client(`unix:${socket}`, credentials.createInsecure())
  const same = (b: Buffer) => b
  try {
    return await Array.fromAsync(client.makeServerStreamRequest(path, same, same, request) as AsyncIterable<Buffer>)
  } finally {
    client.close()
  }
}

/** One length-delimited field: (number << 3 | 2), length (two bytes from 128 on), bytes. */
function field(number: number, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value)
  const length = bytes.length < 0x80 ? [bytes.length] : [(bytes.length & 0x7f) | 0x80, bytes.length >> 7]
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), bytes])
}

function varint(number: number, ...bytes: number[]): Buffer {
  return Buffer.from([number << 3, ...bytes])
}

const web0 = { K8sPodName: 'web-0', K8sPodNamespace: 'default', K8sPodInfraContainerId: 'c0' }

test('terway.gen.ts is what terway.proto says (run `node tools/gen-proto.ts` after an edit)', () => {
  assert.equal(readFileSync(generatedFile, 'utf8'), generate())
})

// A value that is its type's default is written too where the code names it (an empty string, false): readers see no difference.
test('AllocIP on the wire: the bytes of request and reply as Terway numbers them', async t => {
  const { socket } = await start(t)
  const request = Buffer.concat([field(1, 'web-0'), field(2, 'default'), field(3, 'c0'), field(4, '/run/netns/a'), field(5, 'eth0')])
  const gateway6 = '2001:db8::ffff:ffff:ffff:fffd'
  const basic = Buffer.concat([
    field(1, Buffer.concat([field(1, '192.0.2.17'), field(2, '2001:db8::17')])),
    field(2, Buffer.concat([field(1, '192.0.2.0/24'), field(2, '2001:db8::/64')])),
    field(3, Buffer.concat([field(1, '192.0.2.253'), field(2, gateway6)])),
    field(4, Buffer.concat([field(1, '10.96.0.0/12'), field(2, '')])),
  ])
  const eniGateway = Buffer.concat([field(1, '192.0.2.253'), field(2, '')])
  const eni = Buffer.concat([field(1, '00:16:3e:00:00:01'), varint(2, 0), field(4, eniGateway)])
  const pod = Buffer.concat([varint(1, 0xc0, 0x84, 0x3d), varint(2, 0xac, 0x02), field(3, 'burstable')])
  const body = Buffer.concat([
    field(1, basic),
    field(2, eni),
    field(3, pod),
    field(4, 'eth0'),
    field(5, field(1, '198.51.100.0/24')),
    varint(6, 1),
  ])
  const expected = Buffer.concat([varint(1, 1), varint(2, 2), varint(3, 1), varint(4, 1), field(5, body)])

  const reply = await rawCall(socket, '/rpc.TerwayBackend/AllocIP', request)

  assert.equal(reply.toString('hex'), expected.toString('hex'))
})

test('ReleaseIP, GetIPInfo and RecordEvent on the wire', async t => {
  const { socket, leases } = await start(t)
  const pod = [field(1, 'web-0'), field(2, 'default'), field(3, 'c0')]
  const released = await rawCall(socket, '/rpc.TerwayBackend/ReleaseIP', Buffer.concat([...pod, varint(4, 2), field(7, 'gone')]))
  assert.equal(released.toString('hex'), '0801')
  assert.deepEqual(leases.released, [{ namespace: 'default', name: 'web-0', containerId: 'c0' }])

  const unknown = Buffer.concat([field(1, 'other'), field(2, 'default'), field(3, 'c9')])
  const info = await rawCall(socket, '/rpc.TerwayBackend/GetIPInfo', unknown)
  assert.equal(info.toString('hex'), '08021001180020003800', 'IPType 1 = 2, Success 2 = true, IPv4 3, IPv6 4 and Error 7 = 0')

  const event = Buffer.concat([
    varint(1, 1),
    field(2, 'web-0'),
    field(3, 'default'),
    varint(4, 1),
    field(5, 'AllocIPFailed'),
    field(6, 'why'),
  ])
  assert.equal((await rawCall(socket, '/rpc.TerwayBackend/RecordEvent', event)).toString('hex'), '08011200')
  assert.deepEqual(leases.events, [
    { target: 'pod', namespace: 'default', name: 'web-0', type: 'Warning', reason: 'AllocIPFailed', message: 'why' },
  ])
})

test('TerwayTracing on the wire: the bytes of each request and reply as Terway numbers them', async t => {
  const { socket } = await start(t)
  const call = async (method: string, request: Buffer) => await rawCall(socket, `/rpc.TerwayTracing/${method}`, request)
  const same = (reply: Buffer, ...parts: Buffer[]) => assert.equal(reply.toString('hex'), Buffer.concat(parts).toString('hex'))
  const pair = (key: string, value: string) => field(1, Buffer.concat([field(1, key), field(2, value)]))
  const target = Buffer.concat([field(1, 'network_service'), field(2, 'default')])

  same(await call('GetResourceTypes', Buffer.alloc(0)), field(1, 'network_service'))
  same(await call('GetResources', field(1, 'network_service')), field(1, 'default'))
  same(
    await call('GetResourceConfig', target),
    pair('name', 'node-1'),
    pair('daemon_mode', 'ENIMultiIP'),
    pair('config_file_path', '/etc/eni/eni_conf'),
  )
  same(
    await call('GetResourceTrace', target),
    pair('pending_pods_count', '1'),
    pair('binding', 'local'),
    pair('pending_pods/default/web-1', 'lease: no idle address'),
    pair('pods/default/web-0/resources', 'held 00:16:3e:00:00:01.192.0.2.17'),
  )
  const eni1 = Buffer.concat([
    ...[field(1, 'eni-1'), field(2, '00:16:3e:00:00:01'), field(3, 'Secondary'), field(4, ''), field(5, 'InUse')],
    ...['192.0.2.10 idle primary', '192.0.2.17 held default/web-0', '192.0.2.18 barred Deleting'].map(info => field(6, info)),
    field(6, 'InsufficientIP: vsw-1 has no free address'),
  ])
  const eni2 = Buffer.concat(['eni-2', '00:16:3e:00:00:02', 'Secondary', '', 'Attaching'].map((text, i) => field(i + 1, text)))
  const lease = ['web-0', 'default', 'eni-1', '00:16:3e:00:00:01', '192.0.2.17', '', 'eniIp'].map((text, i) => field(i + 1, text))
  same(await call('GetResourceMapping', Buffer.alloc(0)), field(1, eni1), field(1, eni2), field(2, Buffer.concat(lease)))

  const why = Buffer.concat([target, field(3, 'why'), field(4, 'default/web-1')])
  assert.deepEqual(
    (await rawStream(socket, '/rpc.TerwayTracing/ResourceExecute', why)).map(b => b.toString('hex')),
    ['default/web-1 waits in step lease', 'no idle address on eni-1'].map(line => field(1, line).toString('hex')),
  )
})

test("a daemon with prefixes: their field numbers as Terway's, read by our client", () => {
  const allocation = Buffer.concat([field(1, '192.0.2.17'), field(2, 'a/b')])
  const prefix = Buffer.concat([
    field(1, '192.0.2.16/28'),
    field(2, 'Valid'),
    varint(3, 16),
    varint(4, 1),
    varint(5, 15),
    field(6, allocation),
  ])
  const eni = Buffer.concat([field(1, 'eni-1'), field(4, '12:00'), field(7, prefix), field(8, field(1, '2001:db8::/80'))])
  const [read] = tracing.GetResourceMapping.responseDeserialize(field(1, eni)).info
  assert.equal(read?.AllocInhibitExpireAt, '12:00')
  const allocations = [{ ip: '192.0.2.17', pod_id: 'a/b' }]
  assert.deepEqual(JSON.parse(JSON.stringify(read?.ipv4_prefixes)), [
    { prefix: '192.0.2.16/28', status: 'Valid', total: 16, used: 1, available: 15, allocations },
  ])
  assert.equal(read?.ipv6_prefixes[0]?.prefix, '2001:db8::/80')
})

test('a refusal is Unknown with Terway\'s "code: X, msg: Y"; a fault is InternalError', async t => {
  const { client, metrics } = await start(t)
  const alloc = (name: string) => client.alloc({ ...web0, K8sPodName: name, Netns: '/run/netns/a', IfName: 'eth0' })
  await assert.rejects(alloc('absent'), { code: 'daemon-refused', message: 'code: IPNotAllocated, msg: no idle address: vsw-1 is full' })
  await assert.rejects(alloc('broken'), { message: 'code: InternalError, msg: ledger is gone' })
  await assert.rejects(alloc('full'), { message: 'code: InternalError, msg: ledger /x cannot grow' }, 'a code of ours is none of theirs')
  await assert.rejects(alloc(''), { message: 'code: InvalidArgs, msg: K8sPodName is empty' })
  assert.match(await metrics.registry.metrics(), /terway_rpc_latency_count\{rpc_api="AllocIP",error="true"\} 4\n/)
})

test('a second call for a pod that is being served is refused with PodIsProcessing, and served afterwards', async t => {
  const { client, leases } = await start(t)
  const gate = Promise.withResolvers<void>()
  leases.gate = gate.promise
  const first = client.alloc({ ...web0, Netns: '/run/netns/a', IfName: 'eth0' })
  await assert.rejects(client.alloc({ ...web0, Netns: '/run/netns/a', IfName: 'eth0' }), /code: PodIsProcessing/)
  gate.resolve()
  assert.equal((await first).NetConfs[0]?.BasicInfo.PodIP.IPv4, '192.0.2.17')
  assert.deepEqual(await client.release(web0).then(r => r.Success), true)
})

test('tracing answers from the snapshot and refuses what it does not know', async t => {
  const { client } = await start(t)
  const target = { Type: 'network_service', Name: 'default' }
  assert.deepEqual(await client.types(), ['network_service'])
  assert.deepEqual(await client.names('network_service'), ['default'])
  assert.deepEqual((await client.config(target))[1], { Key: 'daemon_mode', Value: 'ENIMultiIP' })
  const trace = await client.trace(target)
  assert.deepEqual(trace[0], { Key: 'pending_pods_count', Value: '1' })
  assert.deepEqual(trace.at(-1), { Key: 'pods/default/web-0/resources', Value: 'held 00:16:3e:00:00:01.192.0.2.17' })
  const mapping = await client.mapping()
  assert.deepEqual(mapping.info[0]?.Info[1], '192.0.2.17 held default/web-0')
  assert.deepEqual(mapping.resource_db[0]?.pod_name, 'web-0')
  await assert.rejects(client.names('disks'), /no resource type disks; the only one is network_service/)
})

test('ResourceExecute streams a line at a time, and an unknown command ends the stream with an error', async t => {
  const { client } = await start(t)
  const run = (Command: string, ...Args: string[]) => client.execute({ Type: 'network_service', Name: 'default', Command, Args })
  assert.deepEqual(await Array.fromAsync(run('why', 'default/web-1')), ['default/web-1 waits in step lease', 'no idle address on eni-1'])
  assert.equal((await Array.fromAsync(run('mapping'))).length, 2)
  assert.match((await Array.fromAsync(run('resdb')))[0] ?? '', /"ipv4":"192.0.2.17"/)
  await assert.rejects(Array.fromAsync(run('reboot')), /can not recognize command reboot; known are mapping, resdb, why/)
})

test('the socket is 0600 and replaces what a crashed predecessor left', async t => {
  const { socket, client } = await start(t, path => writeFile(path, 'stale'))
  const s = await stat(socket)
  assert.equal(s.mode & 0o777, 0o600)
  assert.ok(s.isSocket())
  assert.deepEqual(await client.types(), ['network_service'])
})

test('nobody listening: the client says which socket, and what to look for', async () => {
  const client = connect('/nonexistent/eni.socket')
  await assert.rejects(client.types(), { code: 'daemon-unreachable', message: /no terwayd answers on \/nonexistent\/eni.socket/ })
  client.close()
})
