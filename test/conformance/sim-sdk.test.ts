// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import ecsModule, * as models from '@alicloud/ecs20140526'
import { $OpenApiUtil } from '@alicloud/openapi-core'
import RpcClient from '@alicloud/pop-core'
import { pythonWithSdk, run } from './python-sdk.ts'
import { eventually, key, startSim } from './sim-fixture.ts'

// The package is CommonJS with a default export: what Node imports as default is the module.
const Ecs = ecsModule.default
const regionId = 'cn-lab'

function client(endpoint: string, { id, secret } = key) {
  return new Ecs(
    new $OpenApiUtil.Config({
      accessKeyId: id,
      accessKeySecret: secret,
      endpoint,
      protocol: 'HTTP',
      regionId,
      readTimeout: 5000,
      connectTimeout: 2000,
    }),
  )
}

/** The error that the SDK throws for an error body. */
function sdkError(code: string, statusCode: number) {
  return (error: { code?: string; statusCode?: number; data?: { RequestId?: string; HostId?: string; Recommend?: string } }) => {
    assert.equal(error.code, code)
    assert.equal(error.statusCode, statusCode)
    return true
  }
}

test('the JavaScript SDK leads an ENI through its life', async () => {
  await using sim = await startSim()
  const ecs = client(sim.endpoint)
  const instances = await ecs.describeInstances(new models.DescribeInstancesRequest({ regionId }))
  const instanceId = instances.body?.instances?.instance?.[0]?.instanceId ?? ''
  assert.match(instanceId, /^i-/)

  const created = await ecs.createNetworkInterface(
    new models.CreateNetworkInterfaceRequest({
      regionId,
      vSwitchId: 'vsw-bp1pods-a',
      securityGroupIds: ['sg-bp1lab'],
      secondaryPrivateIpAddressCount: 2,
      ipv6AddressCount: 1,
      clientToken: 'life-1',
      tag: [new models.CreateNetworkInterfaceRequestTag({ key: 'creator', value: 'terway & co' })],
    }),
  )
  const id = created.body?.networkInterfaceId ?? ''
  assert.equal(created.body?.status, 'Creating')
  assert.equal(created.body?.privateIpSets?.privateIpSet?.length, 3)
  assert.equal(created.body?.ipv6Sets?.ipv6Set?.length, 1)
  assert.match(created.body?.requestId ?? '', /^[0-9A-F-]{36}$/)

  const find = async () =>
    (await ecs.describeNetworkInterfaces(new models.DescribeNetworkInterfacesRequest({ regionId, networkInterfaceId: [id] }))).body
      ?.networkInterfaceSets?.networkInterfaceSet?.[0]
  const becomes = (status: string) => eventually(`${id} ${status}`, async () => ((await find())?.status === status ? find() : undefined))
  await becomes('Available')
  await ecs.attachNetworkInterface(new models.AttachNetworkInterfaceRequest({ regionId, networkInterfaceId: id, instanceId }))
  const inUse = await becomes('InUse')
  assert.equal(inUse?.instanceId, instanceId)
  assert.deepEqual(
    inUse?.tags?.tag?.map(tag => ({ key: tag.tagKey, value: tag.tagValue })),
    [{ key: 'creator', value: 'terway & co' }],
  )

  const assigned = await ecs.assignPrivateIpAddresses(
    new models.AssignPrivateIpAddressesRequest({
      regionId,
      networkInterfaceId: id,
      secondaryPrivateIpAddressCount: 3,
      clientToken: 'assign-1',
    }),
  )
  const addresses = assigned.body?.assignedPrivateIpAddressesSet?.privateIpSet?.privateIpAddress ?? []
  assert.equal(addresses.length, 3)
  const again = await ecs.assignPrivateIpAddresses(
    new models.AssignPrivateIpAddressesRequest({
      regionId,
      networkInterfaceId: id,
      secondaryPrivateIpAddressCount: 3,
      clientToken: 'assign-1',
    }),
  )
  assert.deepEqual(again.body?.assignedPrivateIpAddressesSet?.privateIpSet?.privateIpAddress, addresses)
  const six = await ecs.assignIpv6Addresses(
    new models.AssignIpv6AddressesRequest({ regionId, networkInterfaceId: id, ipv6AddressCount: 2 }),
  )
  assert.equal(six.body?.ipv6Sets?.ipv6Address?.length, 2)
  const attribute = await eventually('addresses in the attribute call', async () => {
    const { body } = await ecs.describeNetworkInterfaceAttribute(
      new models.DescribeNetworkInterfaceAttributeRequest({ regionId, networkInterfaceId: id, attribute: 'basic' }),
    )
    return body?.privateIpSets?.privateIpSet?.length === 6 && body.ipv6Sets?.ipv6Set?.length === 3 ? body : undefined
  })
  assert.equal(attribute.privateIpSets?.privateIpSet?.filter(ip => ip.primary).length, 1)

  await ecs.unassignPrivateIpAddresses(
    new models.UnassignPrivateIpAddressesRequest({ regionId, networkInterfaceId: id, privateIpAddress: addresses }),
  )
  await ecs.unassignIpv6Addresses(
    new models.UnassignIpv6AddressesRequest({ regionId, networkInterfaceId: id, ipv6Address: six.body?.ipv6Sets?.ipv6Address ?? [] }),
  )
  await assert.rejects(
    ecs.unassignPrivateIpAddresses(
      new models.UnassignPrivateIpAddressesRequest({ regionId, networkInterfaceId: id, privateIpAddress: addresses }),
    ),
    sdkError('InvalidIp.IpUnassigned', 403),
  )
  await ecs.detachNetworkInterface(new models.DetachNetworkInterfaceRequest({ regionId, networkInterfaceId: id, instanceId }))
  await assert.rejects(
    ecs.deleteNetworkInterface(new models.DeleteNetworkInterfaceRequest({ regionId, networkInterfaceId: id })),
    sdkError('InvalidOperation.InvalidEniState', 400),
  )
  await becomes('Available')
  await ecs.deleteNetworkInterface(new models.DeleteNetworkInterfaceRequest({ regionId, networkInterfaceId: id }))
  await eventually(`${id} is gone`, async () => ((await find()) === undefined ? true : undefined))
})

test('pages by token and by number hold every ENI once', async () => {
  await using sim = await startSim({ timing: { describeLag: 0 } })
  const ecs = client(sim.endpoint)
  for (let i = 0; i < 23; i++)
    await sim.simulator.call('CreateNetworkInterface', { VSwitchId: 'vsw-bp1pods-a', SecurityGroupId: 'sg-bp1lab' })
  const byToken: string[] = []
  let nextToken = ''
  do {
    const { body } = await ecs.describeNetworkInterfaces(
      new models.DescribeNetworkInterfacesRequest({ regionId, maxResults: 10, ...(nextToken !== '' && { nextToken }) }),
    )
    byToken.push(...(body?.networkInterfaceSets?.networkInterfaceSet ?? []).map(eni => eni.networkInterfaceId ?? ''))
    nextToken = body?.nextToken ?? ''
  } while (nextToken !== '')
  assert.equal(new Set(byToken).size, 25)
  assert.equal(byToken.length, 25)
  const byNumber: string[] = []
  for (const pageNumber of [1, 2, 3]) {
    const { body } = await ecs.describeNetworkInterfaces(
      new models.DescribeNetworkInterfacesRequest({ regionId, pageNumber, pageSize: 10 }),
    )
    assert.equal(body?.totalCount, 25)
    byNumber.push(...(body?.networkInterfaceSets?.networkInterfaceSet ?? []).map(eni => eni.networkInterfaceId ?? ''))
  }
  assert.deepEqual(byNumber, byToken)
})

test('errors, throttling and wrong keys reach the SDK as the real ones do', async () => {
  await using sim = await startSim({ throttle: { perMinute: { DescribeInstanceTypes: 2 } } })
  const ecs = client(sim.endpoint)
  await assert.rejects(
    ecs.describeNetworkInterfaceAttribute(
      new models.DescribeNetworkInterfaceAttributeRequest({ regionId, networkInterfaceId: 'eni-none' }),
    ),
    sdkError('InvalidEniId.NotFound', 404),
  )
  await assert.rejects(
    ecs.createNetworkInterface(new models.CreateNetworkInterfaceRequest({ regionId, vSwitchId: 'vsw-bp1pods-a' })),
    sdkError('MissingParameter', 400),
  )
  await assert.rejects(
    ecs.describeNetworkInterfaces(new models.DescribeNetworkInterfacesRequest({ regionId, status: 'Sleeping' })),
    sdkError('InvalidParameter.Status', 400),
  )
  const types = () => ecs.describeInstanceTypes(new models.DescribeInstanceTypesRequest({ instanceTypes: ['ecs.g7.4xlarge'] }))
  assert.equal((await types()).body?.instanceTypes?.instanceType?.[0]?.eniQuantity, 8)
  await types()
  await assert.rejects(types(), sdkError('Throttling.User', 400))
  await assert.rejects(
    client(sim.endpoint, { ...key, id: 'nobody' }).describeInstances(new models.DescribeInstancesRequest({ regionId })),
    sdkError('InvalidAccessKeyId.NotFound', 404),
  )
  await assert.rejects(
    client(sim.endpoint, { ...key, secret: 'wrong' }).describeInstances(new models.DescribeInstancesRequest({ regionId })),
    sdkError('SignatureDoesNotMatch', 400),
  )
})

test('the older JavaScript SDK (signature version 1) leads an ENI through its life', async () => {
  await using sim = await startSim()
  const config = { endpoint: `http://${sim.endpoint}`, apiVersion: '2014-05-26', accessKeyId: key.id, accessKeySecret: key.secret }
  const rpc = new RpcClient(config)
  const ask = <T>(action: string, params: object) => rpc.request<T>(action, { RegionId: regionId, ...params })
  interface Enis {
    readonly NetworkInterfaceSets: { readonly NetworkInterfaceSet: readonly { readonly Status: string; readonly Tags: object }[] }
  }
  const tag = { Key: 'owner', Value: "(v1) *~'! ä" }
  const eni = { VSwitchId: 'vsw-bp1pods-a', SecurityGroupId: 'sg-bp1lab', Tag: [tag], ClientToken: 'v1-1' }
  const { NetworkInterfaceId } = await ask<{ NetworkInterfaceId: string }>('CreateNetworkInterface', eni)
  const again = await rpc.request('CreateNetworkInterface', { RegionId: regionId, ...eni }, { method: 'POST' })
  assert.partialDeepStrictEqual(again, { NetworkInterfaceId }, 'by POST with the same token')
  const found = async () =>
    (await ask<Enis>('DescribeNetworkInterfaces', { NetworkInterfaceId: [NetworkInterfaceId] })).NetworkInterfaceSets.NetworkInterfaceSet[0]
  const available = await eventually('Available', async () => {
    const one = await found()
    return one?.Status === 'Available' ? one : undefined
  })
  assert.partialDeepStrictEqual(available.Tags, { Tag: [{ TagKey: tag.Key, TagValue: tag.Value }] })
  await ask('DeleteNetworkInterface', { NetworkInterfaceId })
  await eventually('gone', async () => ((await found()) === undefined ? true : undefined))
  await assert.rejects(ask('DeleteNetworkInterface', { NetworkInterfaceId }), { code: 'InvalidEniId.NotFound' })
  const stranger = new RpcClient({ ...config, accessKeySecret: 'wrong' })
  await assert.rejects(stranger.request('DescribeInstances', { RegionId: regionId }), { code: 'SignatureDoesNotMatch' })
})

test('the Python SDK (signature version 1) leads an ENI through its life', async t => {
  const sdk = await pythonWithSdk()
  if ('missing' in sdk) return t.skip(`no Python SDK: ${sdk.missing}`)
  await using sim = await startSim()
  const { stdout } = await run(sdk.python, ['test/conformance/sim-sdk.py', sim.endpoint, key.id, key.secret])
  assert.deepEqual(JSON.parse(stdout), {
    tags: [{ TagKey: 'owner', TagValue: '(python) *~ ä' }],
    repeated: true,
    'other parameters': [400, 'IdempotentParameterMismatch'],
    'attached to the instance': true,
    'xml root': 'AssignPrivateIpAddressesResponse',
    assigned: 2,
    'eleven at once': [400, 'InvalidParameter.SecondaryPrivateIpAddressCount'],
    ipv6: 1,
    'unassigned twice': [403, 'InvalidIp.IpUnassigned'],
    'tags at the end': ['owner', 'second'],
    gone: true,
    'deleted twice': [404, 'InvalidEniId.NotFound'],
    'unknown action': [404, 'InvalidAction.NotFound'],
    // The SDK's own code, which it derives from the string to sign in our message.
    'wrong secret': [400, 'InvalidAccessKeySecret'],
  })
})
