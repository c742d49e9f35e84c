// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listenMetadata, type MetadataOptions } from './metadata.ts'
import { world } from './testing.ts'

async function service(options: Partial<MetadataOptions> = {}) {
  const it = world()
  const { port } = await listenMetadata(it.simulator, { host: '127.0.0.1', port: 0, loopbackAs: 'node-1', ...options })
  const ask = async (path: string, headers: Record<string, string> = {}, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${port}/latest/${path}`, { method, headers })
    return { status: response.status, text: await response.text() }
  }
  const get = async (path: string) => (await ask(`meta-data/${path}`)).text
  return { ...it, ask, get, [Symbol.asyncDispose]: () => it.simulator.stop() }
}

const ttl = (seconds: string) => ({ 'X-aliyun-ecs-metadata-token-ttl-seconds': seconds })

test('the instance reads what it is', async () => {
  await using it = await service()
  const { instance, get, ask } = it
  assert.equal(await get('instance-id'), instance.instanceId)
  assert.equal(await get('instance/instance-type'), 'ecs.lab.medium')
  assert.equal(await get('region-id'), 'cn-lab')
  assert.equal(await get('zone-id'), 'cn-lab-a')
  assert.equal(await get('vpc-id'), 'vpc-1')
  assert.equal(await get('vpc-cidr-block'), '10.0.0.0/16')
  assert.equal(await get('vswitch-id'), 'vsw-a')
  assert.equal(await get('mac'), instance.primary.mac)
  assert.equal(await get('ram/security-credentials/'), 'node')
  assert.equal((await ask('meta-data/nothing')).status, 404)
  assert.equal((await ask('meta-data/instance-id/deeper')).status, 404)
  assert.equal((await ask('meta-data/constructor')).status, 404)
  assert.equal((await ask('user-data')).status, 404)
})

test('ENIs and addresses appear a moment after they are there', async () => {
  await using it = await service()
  const { call, createEni, attach, clock, eni, get, ask, instance } = it
  const id = await createEni({ SecondaryPrivateIpAddressCount: '1', Ipv6AddressCount: '2' })
  await attach(id)
  const mac = eni(id)?.mac ?? ''
  const base = `network/interfaces/macs/${mac}`
  assert.equal(await get('network/interfaces/macs/'), `${instance.primary.mac}/`)
  clock.pass(500)
  assert.equal(await get('network/interfaces/macs/'), `${instance.primary.mac}/\n${mac}/`)
  assert.equal(await get(`${base}/network-interface-id`), id)
  assert.equal(await get(`${base}/primary-ip-address`), eni(id)?.ipv4[0])
  assert.deepEqual(JSON.parse(await get(`${base}/private-ipv4s`)), eni(id)?.ipv4)
  assert.equal(await get(`${base}/ipv6s`), `[${eni(id)?.ipv6.join(',')}]`)
  assert.equal(await get(`${base}/gateway`), '10.0.0.253')
  assert.equal(await get(`${base}/ipv6-gateway`), 'fd00::ffff:ffff:ffff:fffd')
  assert.equal(await get(`${base}/vswitch-cidr-block`), '10.0.0.0/24')
  assert.equal(await get(`${base}/vswitch-ipv6-cidr-block`), 'fd00::/64')
  assert.equal((await ask(`meta-data/network/interfaces/macs/${instance.primary.mac}/ipv6s`)).status, 404)
  await call('AssignPrivateIpAddresses', { NetworkInterfaceId: id, SecondaryPrivateIpAddressCount: '1' })
  assert.equal(JSON.parse(await get(`${base}/private-ipv4s`)).length, 2)
  clock.pass(500)
  assert.equal(JSON.parse(await get(`${base}/private-ipv4s`)).length, 3)
})

test('tokens last as long as asked for, and are needed when required', async () => {
  await using it = await service({ tokens: 'required' })
  const { ask, clock } = it
  assert.equal((await ask('meta-data/mac')).status, 401)
  for (const headers of [{}, ttl('0'), ttl('21601'), ttl('x')]) assert.equal((await ask('api/token', headers, 'PUT')).status, 400)
  const { text } = await ask('api/token', ttl('60'), 'PUT')
  const token = { 'X-aliyun-ecs-metadata-token': text }
  assert.equal((await ask('meta-data/mac', token)).status, 200)
  assert.equal((await ask('meta-data/mac', { 'X-aliyun-ecs-metadata-token': 'guessed' })).status, 401)
  clock.pass(60_000)
  assert.equal((await ask('meta-data/mac', token)).status, 401)
})

test('who is no running instance is refused; an outage answers 503', async () => {
  await using it = await service()
  const { ask, simulator, instance } = it
  const outage = simulator.addFault({ kind: 'metadata-outage', count: 1 })
  assert.equal((await ask('meta-data/mac')).status, 503)
  assert.equal((await ask('meta-data/mac')).status, 200)
  simulator.clearFaults(outage)
  simulator.stopInstance(instance.instanceId)
  assert.equal((await ask('meta-data/mac')).status, 403)
  await using stranger = await service({ loopbackAs: 'nobody' })
  assert.equal((await stranger.ask('meta-data/mac')).status, 403)
})
