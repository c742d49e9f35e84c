// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { percentEncode } from './auth/request.ts'
import { signV1, stringToSign } from './auth/v1.ts'
import { world } from './testing.ts'

let nonce = 0

/** Requests with a version 1 signature, which the official SDKs have verified (test/conformance). */
async function server() {
  const it = world()
  const { port } = await it.simulator.listen({ host: '127.0.0.1', port: 0 })
  const ask = async (params: Record<string, string>, method: 'GET' | 'POST' = 'GET', drop: readonly string[] = [], secret = 'secret') => {
    const common = {
      Version: '2014-05-26',
      Format: 'JSON',
      RegionId: 'cn-lab',
      AccessKeyId: 'key',
      SignatureMethod: 'HMAC-SHA1',
      SignatureVersion: '1.0',
      SignatureNonce: `${++nonce}`,
      Timestamp: `${new Date(it.clock.wall()).toISOString().slice(0, 19)}Z`,
    }
    const pairs = Object.entries({ ...common, ...params }).filter(([name]) => !drop.includes(name))
    const signed = [...pairs, ['Signature', signV1(secret, stringToSign(method, pairs))]].filter(([name = '']) => !drop.includes(name))
    const text = signed.map(([name = '', value = '']) => `${percentEncode(name)}=${percentEncode(value)}`).join('&')
    const response = await fetch(`http://127.0.0.1:${port}/${method === 'GET' ? `?${text}` : ''}`, {
      method,
      ...(method === 'POST' && { body: text, headers: { 'content-type': 'application/x-www-form-urlencoded' } }),
    })
    const body = await response.text()
    return {
      status: response.status,
      body,
      json: () => JSON.parse(body),
      date: response.headers.get('date') ?? '',
      type: response.headers.get('content-type') ?? '',
    }
  }
  return { ...it, ask, [Symbol.asyncDispose]: () => it.simulator.stop() }
}

test('query and form carry parameters; unknown ones are ignored', async () => {
  await using it = await server()
  for (const method of ['GET', 'POST'] as const) {
    const { status, json } = await it.ask(
      { Action: 'DescribeVSwitches', Version: '2016-04-28', VSwitchId: 'vsw-a', Flavour: 'none' },
      method,
    )
    assert.equal(status, 200)
    assert.equal(json().VSwitches.VSwitch[0].AvailableIpAddressCount, 251)
  }
})

test('an error body names code, message, host and request, in both formats', async () => {
  await using it = await server()
  const { status, json } = await it.ask({ Action: 'DeleteNetworkInterface', NetworkInterfaceId: 'eni-<none>' })
  assert.equal(status, 404)
  const { RequestId, HostId, Code, Message, Recommend } = json()
  assert.match(RequestId, /^[0-9A-F]{8}-/)
  assert.match(HostId, /^127\.0\.0\.1:/)
  assert.equal(Code, 'InvalidEniId.NotFound')
  assert.match(Message, /eni-<none>/)
  assert.match(Recommend, /InvalidEniId\.NotFound/)
  const xml = await it.ask({ Action: 'DeleteNetworkInterface', NetworkInterfaceId: 'eni-<none>' }, 'GET', ['Format'])
  assert.match(xml.type, /^text\/xml/)
  assert.match(xml.body, /^<\?xml [^>]*\?><Error><RequestId>.*<Code>InvalidEniId\.NotFound<\/Code>/)
  assert.match(xml.body, /eni-&#60;none&#62;/)
})

test('what is missing or wrong is named', async () => {
  await using it = await server()
  const answers = async (params: Record<string, string>, drop: readonly string[] = []) => {
    const { status, json } = await it.ask(params, 'GET', drop)
    return [status, json().Code, json().Message.match(/"(\w+)"/)?.[1]]
  }
  const list = { Action: 'DescribeNetworkInterfaces' }
  assert.deepEqual(await answers({}), [400, 'MissingParameter', 'Action'])
  assert.deepEqual(await answers(list, ['Version']), [400, 'MissingParameter', 'Version'])
  assert.deepEqual(await answers(list, ['RegionId']), [400, 'MissingParameter', 'RegionId'])
  assert.deepEqual(await answers(list, ['Signature']), [400, 'MissingParameter', 'Signature'])
  assert.deepEqual(await answers(list, ['AccessKeyId']), [400, 'MissingParameter', 'AccessKeyId'])
  assert.deepEqual((await answers({ Action: 'MakeCoffee' })).slice(0, 2), [404, 'InvalidAction.NotFound'])
  assert.deepEqual((await answers({ ...list, Version: '2016-04-28' })).slice(0, 2), [400, 'InvalidVersion'])
  assert.deepEqual((await answers({ ...list, RegionId: 'cn-mars' })).slice(0, 2), [404, 'InvalidRegionId.NotFound'])
  assert.deepEqual((await answers({ ...list, MaxResults: 'ten' })).slice(0, 2), [400, 'InvalidParameter.MaxResults'])
  assert.deepEqual((await answers({ ...list, NextToken: 'guessed' })).slice(0, 2), [400, 'InvalidParameter.NextToken'])
  assert.deepEqual((await answers({ ...list, Timestamp: 'yesterday' })).slice(0, 2), [400, 'InvalidTimeStamp.Format'])
  const create = { Action: 'CreateNetworkInterface', VSwitchId: 'vsw-a', SecurityGroupId: 'sg-1' }
  assert.deepEqual((await answers({ ...create, SourceDestCheck: 'maybe' })).slice(0, 2), [400, 'InvalidParameter.SourceDestCheck'])
  assert.deepEqual((await answers({ ...create, 'SecurityGroupIds.1': 'sg-1' })).slice(0, 2), [400, 'InvalidParameter.SecurityGroupId'])
  assert.deepEqual((await answers({ ...create, VSwitchId: 'vsw-none' })).slice(0, 2), [404, 'InvalidVSwitchId.NotFound'])
  assert.deepEqual((await answers({ ...create, Ipv4PrefixCount: '1' })).slice(0, 2), [400, 'UnsupportedParameter'])
})

test('a lost reply closes the connection, and the call has happened', async () => {
  await using it = await server()
  it.simulator.addFault({ kind: 'lost-reply', count: 1 })
  const create = { Action: 'CreateNetworkInterface', VSwitchId: 'vsw-a', SecurityGroupId: 'sg-1', ClientToken: 'once' }
  await assert.rejects(it.ask(create))
  assert.equal(it.simulator.store.state.list('eni').length, 2)
  assert.equal((await it.ask(create)).status, 200)
  assert.equal(it.simulator.store.state.list('eni').length, 2)
})

test('the Date header tells the server clock, a wrong one too', async () => {
  await using it = await server()
  it.simulator.addFault({ kind: 'clock-skew', ms: 600_000 })
  const { status, date } = await it.ask({ Action: 'DescribeVpcs' })
  assert.equal(status, 200)
  assert.equal(Date.parse(date), it.clock.wall() + 600_000)
})

test('a wrong signature is told what the server signed, but no token is repeated', async () => {
  await using it = await server()
  const plain = await it.ask({ Action: 'DescribeVpcs' }, 'GET', [], 'wrong')
  assert.equal(plain.json().Code, 'SignatureDoesNotMatch')
  assert.match(plain.json().Message, /server string to sign is:GET&%2F&AccessKeyId%3Dkey/)
  const withToken = await it.ask({ Action: 'DescribeVpcs', SecurityToken: 'very-secret-token' }, 'GET', [], 'wrong')
  assert.equal(withToken.json().Code, 'SignatureDoesNotMatch')
  assert.doesNotMatch(withToken.body, /very-secret-token|string to sign/)
})
