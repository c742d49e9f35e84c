// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { createServer, type IncomingHttpHeaders, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import ecsModule, * as models from '@alicloud/ecs20140526'
import { $OpenApiUtil } from '@alicloud/openapi-core'
import RpcClient from '@alicloud/pop-core'
import { listenMetadata } from '../../sim/metadata.ts'
import { pythonWithSdk, run } from './python-sdk.ts'
import { key, startSim } from './sim-fixture.ts'

/** One request as an SDK sent it. */
interface Recorded {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** Lets an SDK talk to a server that only writes down what it hears. */
async function record(talk: (endpoint: string) => Promise<unknown>): Promise<Recorded> {
  const heard = Promise.withResolvers<Recorded>()
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk)
    heard.resolve({ method: incoming.method ?? '', url: incoming.url ?? '', headers: incoming.headers, body: Buffer.concat(chunks) })
    response.end('{}')
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  try {
    await talk(`127.0.0.1:${(server.address() as AddressInfo).port}`)
    return await heard.promise
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

/** Sends a recorded request to the simulator; what it answered. */
function replay(port: number, recorded: Recorded): Promise<{ status: number; code: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: '127.0.0.1', port, method: recorded.method, path: recorded.url, headers: recorded.headers },
      async response => {
        const chunks: Buffer[] = []
        for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
        const code = /"Code":"([^"]+)"/.exec(Buffer.concat(chunks).toString('utf8'))?.[1] ?? ''
        resolve({ status: response.statusCode ?? 0, code })
      },
    )
    outgoing.on('error', reject)
    outgoing.end(recorded.body)
  })
}

/** The text with one character of `pattern`'s first group replaced by another one of the same kind. */
function flip(text: string, pattern: RegExp): string {
  const match = pattern.exec(text)
  assert.ok(match?.[1] !== undefined, `${pattern} is in the request`)
  const at = match.index + match[0].indexOf(match[1]) + 2
  const other = text[at] === 'a' ? 'b' : 'a'
  return text.slice(0, at) + other + text.slice(at + 1)
}

async function refusesChanges(recorded: Recorded, changed: Readonly<Record<string, Recorded>>) {
  await using sim = await startSim()
  for (const [what, request] of Object.entries(changed)) {
    const answer = await replay(sim.port, request)
    assert.deepEqual(answer, { status: 400, code: 'SignatureDoesNotMatch' }, `${what} changed by one byte`)
  }
  assert.deepEqual(await replay(sim.port, recorded), { status: 200, code: '' }, 'unchanged')
  assert.deepEqual(await replay(sim.port, recorded), { status: 400, code: 'SignatureNonceUsed' }, 'sent again')
  for (const ms of [-16 * 60_000, 16 * 60_000]) {
    const id = sim.simulator.addFault({ kind: 'clock-skew', ms })
    assert.deepEqual(await replay(sim.port, recorded), { status: 400, code: 'InvalidTimeStamp.Expired' }, `server clock off by ${ms} ms`)
    sim.simulator.clearFaults(id)
  }
}

test('signature version 3 of the JavaScript SDK: one flipped byte is refused', async () => {
  const recorded = await record(endpoint =>
    new ecsModule.default(
      new $OpenApiUtil.Config({ accessKeyId: key.id, accessKeySecret: key.secret, endpoint, protocol: 'HTTP', regionId: 'cn-lab' }),
    ).describeNetworkInterfaces(
      new models.DescribeNetworkInterfacesRequest({ regionId: 'cn-lab', instanceId: 'i-something', maxResults: 20 }),
    ),
  )
  const authorization = recorded.headers.authorization ?? ''
  assert.match(authorization, /^ACS3-HMAC-SHA256 /)
  const header = (name: string, value: string): Recorded => ({ ...recorded, headers: { ...recorded.headers, [name]: value } })
  const changed = {
    signature: header('authorization', flip(authorization, /Signature=(.+)/)),
    parameter: { ...recorded, url: flip(recorded.url, /InstanceId=i-(\w+)/) },
    action: header('x-acs-action', 'DescribeInstances'),
    nonce: header('x-acs-signature-nonce', flip(String(recorded.headers['x-acs-signature-nonce']), /(.+)/)),
    body: { ...recorded, body: Buffer.from('x'), headers: { ...recorded.headers, 'content-length': '1' } },
  }
  await refusesChanges(recorded, changed)
})

for (const method of ['GET', 'POST'])
  test(`signature version 1 of the older JavaScript SDK, ${method}: one flipped byte is refused`, async () => {
    const recorded = await record(endpoint =>
      new RpcClient({
        endpoint: `http://${endpoint}`,
        apiVersion: '2014-05-26',
        accessKeyId: key.id,
        accessKeySecret: key.secret,
      }).request(
        'DescribeNetworkInterfaces',
        { RegionId: 'cn-lab', 'Tag.1.Key': "owner (v1) *~'!", InstanceId: 'i-something' },
        { method },
      ),
    )
    const changed = (pattern: RegExp): Recorded =>
      method === 'GET'
        ? { ...recorded, url: flip(recorded.url, pattern) }
        : { ...recorded, body: Buffer.from(flip(recorded.body.toString(), pattern)) }
    await refusesChanges(recorded, {
      // Base64 may begin with + or /, which is escaped there.
      signature: changed(/Signature=([\w%]+)/),
      parameter: changed(/InstanceId=i-(\w+)/),
      nonce: changed(/SignatureNonce=(\w+)/),
    })
  })

test('signature version 1 of the Python SDK: one flipped byte is refused', async t => {
  const sdk = await pythonWithSdk()
  if ('missing' in sdk) return t.skip(`no Python SDK: ${sdk.missing}`)
  // The script ends with an error, because the recorder answers nonsense: what it sent is all that matters here.
  const talk = (endpoint: string) => run(sdk.python, ['test/conformance/sim-sdk.py', endpoint, key.id, key.secret]).catch(() => undefined)
  const recorded = await record(talk)
  const changed = {
    signature: { ...recorded, url: flip(recorded.url, /Signature=([\w%]+)/) },
    parameter: { ...recorded, url: flip(recorded.url, /SignatureNonce=(\w+)/) },
    method: { ...recorded, method: 'POST', headers: { ...recorded.headers, 'content-length': '0' } },
  }
  await refusesChanges(recorded, changed)
})

test('credentials of the metadata service work for what the role may do', async () => {
  await using sim = await startSim()
  const metadata = await listenMetadata(sim.simulator, { host: '127.0.0.1', port: 0, loopbackAs: 'node-1' })
  const reply = await fetch(`http://127.0.0.1:${metadata.port}/latest/meta-data/ram/security-credentials/lab-node`)
  const given = (await reply.json()) as { AccessKeyId: string; AccessKeySecret: string; SecurityToken: string; Code: string }
  assert.equal(given.Code, 'Success')
  const ask = (changes: Partial<typeof given>) => {
    const { AccessKeyId, AccessKeySecret, SecurityToken } = { ...given, ...changes }
    const config = {
      accessKeyId: AccessKeyId,
      accessKeySecret: AccessKeySecret,
      endpoint: sim.endpoint,
      protocol: 'HTTP',
      regionId: 'cn-lab',
    }
    return new ecsModule.default(new $OpenApiUtil.Config({ ...config, ...(SecurityToken !== '' && { securityToken: SecurityToken }) }))
  }
  const list = (changes: Partial<typeof given> = {}) =>
    ask(changes).describeNetworkInterfaces(new models.DescribeNetworkInterfacesRequest({ regionId: 'cn-lab' }))
  assert.equal((await list()).body?.networkInterfaceSets?.networkInterfaceSet?.length, 2)
  await assert.rejects(ask({}).describeInstances(new models.DescribeInstancesRequest({ regionId: 'cn-lab' })), { code: 'Forbidden.RAM' })
  await assert.rejects(list({ SecurityToken: '' }), { code: 'MissingSecurityToken' })
  await assert.rejects(list({ SecurityToken: given.SecurityToken.replace(/.$/, c => (c === 'A' ? 'B' : 'A')).replace(/^./, 'X') }), {
    code: 'InvalidSecurityToken.Malformed',
  })
  await assert.rejects(list({ AccessKeyId: 'STS.another' }), { code: 'InvalidSecurityToken.MismatchWithAccessKey' })
  await assert.rejects(list({ AccessKeySecret: 'guessed' }), { code: 'SignatureDoesNotMatch' })
  const id = sim.simulator.addFault({ kind: 'clock-skew', ms: 7 * 3600_000 })
  await assert.rejects(list(), { code: 'InvalidTimeStamp.Expired' })
  sim.simulator.clearFaults(id)
})
