// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { staticKey } from '#cloud/credentials.ts'
import { endpointsFrom, makeRpc } from '#cloud/transport.ts'

/** The first request of a call with this environment. */
async function sent(env: Readonly<Record<string, string>>): Promise<{ readonly url: URL; readonly headers: Headers }> {
  const seen: { readonly url: URL; readonly headers: Headers }[] = []
  const answer: typeof fetch = async (input, init) => {
    seen.push({ url: new URL(String(input)), headers: new Headers(init?.headers) })
    return new Response('{}')
  }
  const key = staticKey({ accessKeyId: 'id', accessKeySecret: 'secret', securityToken: 'sts' })
  await makeRpc('ecs', endpointsFrom(env, 'cn-lab'), key, answer)('DescribeInstances', {})
  const [first] = seen
  assert.ok(first !== undefined)
  return first
}

test('each call carries what the environment and the key ask for', async () => {
  const plain = await sent({})
  assert.equal(plain.url.host, 'ecs-vpc.cn-lab.aliyuncs.com')
  assert.equal(plain.url.searchParams.get('SecurityToken'), 'sts')
  assert.equal(plain.headers.has('x-acsproxy-ascm-context'), false)
  const stack = await sent({
    'X-ACSPROXY-ASCM-CONTEXT': '{"organizationId":1}',
    ECS_ENDPOINT: 'http://ecs.stack:80/x',
    ALICLOUD_CLIENT_SCHEME: 'HTTP',
  })
  assert.equal(stack.url.origin, 'http://ecs.stack')
  assert.equal(stack.headers.get('x-acsproxy-ascm-context'), '{"organizationId":1}')
})
