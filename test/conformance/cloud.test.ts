// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import openApiUtil from '@alicloud/openapi-util'
import { staticKey } from '#cloud/credentials.ts'
import { makeEcs } from '#cloud/ecs.ts'
import { CloudError } from '#cloud/errors.ts'
import type { Cloud, CloudErrorClass, CreateEni } from '#cloud/port.ts'
import { endpointsFrom, makeRpc, type Rpc } from '#cloud/transport.ts'
import { makeVpc } from '#cloud/vpc.ts'
import { CloudFault } from '#sim/model/errors.ts'
import { readSeed } from '#sim/seed.ts'
import type { Simulator } from '#sim/simulator.ts'
import { until } from '../support/until.ts'
import { key, startSim } from './sim-fixture.ts'

type Sim = Awaited<ReturnType<typeof startSim>>

/** The real client over HTTP, signatures verified by the server; and the same operations without the wire. */
const ways: Readonly<Record<string, (sim: Sim) => Cloud>> = {
  'over HTTP': sim => {
    const env = { ECS_ENDPOINT: `http://${sim.endpoint}/`, VPC_ENDPOINT: sim.endpoint, ALICLOUD_CLIENT_SCHEME: 'HTTP' }
    const endpoints = endpointsFrom(env, 'cn-lab')
    const credentials = staticKey({ accessKeyId: key.id, accessKeySecret: key.secret })
    return { ...makeEcs(makeRpc('ecs', endpoints, credentials)), ...makeVpc(makeRpc('vpc', endpoints, credentials)) }
  },
  'in process': sim => {
    const rpc = inProcess(sim.simulator)
    return { ...makeEcs(rpc), ...makeVpc(rpc) }
  },
}

function inProcess(simulator: Simulator): Rpc {
  return async (action, parameters) => {
    try {
      return await simulator.call(action, openApiUtil.default.query({ ...parameters }))
    } catch (e) {
      if (e instanceof CloudFault) throw new CloudError(action, e.code, e.message, { httpStatus: e.status })
      throw e
    }
  }
}

const vSwitchId = 'vsw-bp1pods-a'
const request = (token: string, extra: Partial<CreateEni> = {}): CreateEni => ({
  clientToken: token,
  vSwitchId,
  type: 'Secondary',
  securityGroupIds: ['sg-bp1lab'],
  ipv4Count: 3,
  ipv6Count: 2,
  tags: [
    { key: 'creator', value: 'terway' },
    { key: 'ack.aliyun.com', value: 'c1' },
  ],
  description: 'interface create by terway',
  ...extra,
})

/** Besides those of the seed: one without IPv6, and one with four IPv6 addresses to give. */
const vSwitches6 = [
  ...readSeed('sim/seeds/demo.yaml').vSwitches,
  { id: 'vsw-v4', zone: 'cn-lab-a', cidr4: '10.10.48.0/24' },
  { id: 'vsw-few', zone: 'cn-lab-a', cidr4: '10.10.49.0/24', cidr6: 'fd00:10:10:30::/125' },
]

const of = (expected: CloudErrorClass) => (e: unknown) =>
  e instanceof CloudError && (e.class === expected || assert.fail(`${e.message} is ${e.class}, not ${expected}`))

async function becomes(cloud: Cloud, id: string, status: string): Promise<void> {
  await until(async () => {
    const [eni] = await cloud.describeEnis({ ids: [id] })
    return (eni?.status ?? 'gone') === status
  }, `${id} is ${status}`)
}

for (const [way, connect] of Object.entries(ways)) {
  test(`${way}: an ENI from creation to its end`, async () => {
    await using sim = await startSim()
    const cloud = connect(sim)
    const [instance] = sim.simulator.instances()
    const instanceId = instance?.instanceId ?? ''
    const made = await cloud.createEni(request('t1'))
    assert.equal(made.ipv4.length, 3)
    assert.equal(made.ipv6.length, 2)
    assert.equal(made.ipv4[0], made.primaryIp)
    assert.deepEqual((await cloud.createEni(request('t1'))).id, made.id, 'the same token, the same ENI')
    await assert.rejects(cloud.createEni(request('t1', { ipv4Count: 4 })), of('conflict'))
    await becomes(cloud, made.id, 'Available')
    await cloud.attachEni({ eniId: made.id, instanceId })
    await becomes(cloud, made.id, 'InUse')
    const [seen] = await cloud.describeEnis({ instanceId, type: 'Secondary' })
    assert.equal(seen?.id, made.id)
    assert.equal(seen?.instanceId, instanceId)
    assert.deepEqual(
      seen?.tags.find(t => t.key === 'ack.aliyun.com'),
      { key: 'ack.aliyun.com', value: 'c1' },
    )
    await assert.rejects(cloud.deleteEni(made.id), of('conflict'))
    await cloud.detachEni({ eniId: made.id, instanceId })
    await becomes(cloud, made.id, 'Available')
    await cloud.deleteEni(made.id)
    await becomes(cloud, made.id, 'gone')
    await cloud.deleteEni(made.id)
    await cloud.detachEni({ eniId: made.id, instanceId })
  })

  test(`${way}: addresses come and go, a token repeats its answer, and what is gone stays gone`, async () => {
    await using sim = await startSim()
    const cloud = connect(sim)
    const { id } = await cloud.createEni(request('t2', { ipv4Count: 1, ipv6Count: 0 }))
    await becomes(cloud, id, 'Available')
    const added = await cloud.assignIpv4({ clientToken: 'a1', eniId: id, count: 3 })
    assert.equal(added.length, 3)
    assert.deepEqual(await cloud.assignIpv4({ clientToken: 'a1', eniId: id, count: 3 }), added)
    const v6 = await cloud.assignIpv6({ clientToken: 'a1-6', eniId: id, count: 2 })
    assert.equal(v6.length, 2)
    await cloud.unassignIpv4({ eniId: id, addresses: added.slice(0, 1) })
    await cloud.unassignIpv4({ eniId: id, addresses: added })
    await cloud.unassignIpv6({ eniId: id, addresses: v6 })
    await until(async () => {
      const [eni] = await cloud.describeEnis({ ids: [id] })
      return eni?.ipv4.length === 1 && eni.ipv6.length === 0
    })
    await cloud.unassignIpv4({ eniId: 'eni-unknown', addresses: added })
    await assert.rejects(cloud.assignIpv4({ clientToken: 'a2', eniId: 'eni-unknown', count: 1 }), of('gone'))
  })

  test(`${way}: vSwitches, instance types, instances`, async () => {
    await using sim = await startSim()
    const cloud = connect(sim)
    const before = await cloud.describeVSwitch(vSwitchId)
    assert.equal(before?.cidr4, '10.10.16.0/20')
    assert.equal(before?.zoneId, 'cn-lab-a')
    assert.equal(before?.cidr6, 'fd00:10:10:10::/64')
    assert.equal(await cloud.describeVSwitch('vsw-unknown'), undefined)
    const [type] = await cloud.describeInstanceTypes(['ecs.g7.4xlarge'])
    assert.deepEqual([type?.eniQuantity, type?.ipv4PerEni, type?.trunkSupported], [8, 30, true])
    const [instance] = sim.simulator.instances()
    assert.equal(await cloud.instanceExists(instance?.instanceId ?? ''), true)
    assert.equal(await cloud.instanceExists('i-unknown'), false)
    sim.simulator.exhaustVSwitch(vSwitchId)
    await assert.rejects(cloud.createEni(request('t3')), of('no-addresses'))
  })

  test(`${way}: what refuses IPv6 addresses`, async () => {
    await using sim = await startSim({ vSwitches: vSwitches6 })
    const cloud = connect(sim)
    const six = (token: string, ipv6Count: number, extra: Partial<CreateEni> = {}) => request(token, { ipv4Count: 1, ipv6Count, ...extra })
    await assert.rejects(cloud.createEni(six('t4', 11)), of('bug'))
    await assert.rejects(cloud.createEni(six('t5', 1, { vSwitchId: 'vsw-v4' })), of('quota'))
    await assert.rejects(cloud.createEni(six('t6', 5, { vSwitchId: 'vsw-few' })), of('no-addresses'))
    const { id } = await cloud.createEni(six('t7', 4, { vSwitchId: 'vsw-few' }))
    await becomes(cloud, id, 'Available')
    await assert.rejects(cloud.assignIpv6({ clientToken: 'a7', eniId: id, count: 1 }), of('no-addresses'))
    for (const type of ['ecs.lab.uneven', 'ecs.lab.tiny']) {
      const { instanceId } = sim.simulator.createInstance({ name: type, type, vSwitchId, securityGroupIds: ['sg-bp1lab'] })
      await assert.rejects(cloud.attachEni({ eniId: id, instanceId }), of('quota'))
    }
  })

  test(`${way}: injected failures have their class`, async () => {
    await using sim = await startSim()
    const cloud = connect(sim)
    sim.simulator.addFault({ kind: 'throttle', action: 'DescribeVSwitches', count: 1 })
    await assert.rejects(cloud.describeVSwitch(vSwitchId), of('throttled'))
    sim.simulator.addFault({ kind: 'error', action: 'DescribeVSwitches', count: 1 })
    await assert.rejects(
      cloud.describeVSwitch(vSwitchId),
      (e: unknown) => e instanceof CloudError && e.class === 'retry' && e.mayHaveHappened,
    )
    sim.simulator.addFault({ kind: 'error', action: 'CreateNetworkInterface', code: 'Forbidden.RAM', status: 403, count: 1 })
    await assert.rejects(cloud.createEni(request('t4')), of('denied'))
    assert.equal((await cloud.describeVSwitch(vSwitchId))?.id, vSwitchId)
  })
}

test('over HTTP: a lost answer may have happened, a wrong key is denied, and the secret stays out of the error', async () => {
  await using sim = await startSim()
  const cloud = ways['over HTTP']?.(sim)
  assert.ok(cloud)
  sim.simulator.addFault({ kind: 'lost-reply', action: 'CreateNetworkInterface', count: 1 })
  await assert.rejects(
    cloud.createEni(request('lost')),
    (e: unknown) => e instanceof CloudError && e.code === 'NetworkError' && e.mayHaveHappened,
  )
  const again = await cloud.createEni(request('lost'))
  assert.equal(sim.simulator.store.state.list('eni').filter(e => e.type !== 'Primary').length, 1)
  assert.ok(again.id)
  const endpoints = endpointsFrom({ ECS_ENDPOINT: sim.endpoint, ALICLOUD_CLIENT_SCHEME: 'HTTP' }, 'cn-lab')
  const wrong = makeEcs(makeRpc('ecs', endpoints, staticKey({ accessKeyId: key.id, accessKeySecret: 'not-the-secret' })))
  await assert.rejects(
    wrong.describeEnis({}),
    (e: unknown) => e instanceof CloudError && e.class === 'denied' && !e.message.includes('not-the-secret'),
  )
})

test('endpoints: defaults by region, overrides by environment', () => {
  assert.deepEqual(endpointsFrom({}, 'cn-x').host, { ecs: 'ecs-vpc.cn-x.aliyuncs.com', vpc: 'vpc-vpc.cn-x.aliyuncs.com' })
  assert.equal(endpointsFrom({}, 'cn-x').scheme, 'https')
  const o = endpointsFrom({ ALICLOUD_ENDPOINT_TYPE: 'public', VPC_ENDPOINT: 'http://10.0.0.1:8080/path' }, 'cn-x')
  assert.deepEqual(o.host, { ecs: 'ecs.cn-x.aliyuncs.com', vpc: '10.0.0.1:8080' })
})
