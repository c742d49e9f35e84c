// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { createCipheriv, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { firstOf, instanceRole, staticKey, tokenFile } from '#cloud/credentials.ts'
import { realClock } from '#lib/clock.ts'

const keyring = '0123456789abcdef'

function encrypted(text: string): string {
  const iv = randomBytes(16)
  const cipher = createCipheriv('aes-128-cbc', Buffer.from(keyring), iv)
  return Buffer.concat([iv, cipher.update(text), cipher.final()]).toString('base64')
}

function tokenIn(dir: string, changes: Readonly<Record<string, unknown>> = {}): string {
  const path = join(dir, 'token-config')
  const fields = {
    'access.key.id': encrypted('STS.id'),
    'access.key.secret': encrypted('the-secret'),
    'security.token': encrypted('the-token'),
    expiration: '2999-01-01T00:00:00Z',
    keyring,
    ...changes,
  }
  writeFileSync(path, JSON.stringify(fields))
  return path
}

test("ACK's encrypted token file", async t => {
  const dir = mkdtempSync(join(tmpdir(), 'terway-token-'))
  t.after(() => rmSync(dir, { recursive: true }))
  assert.deepEqual(await tokenFile(tokenIn(dir), realClock)(), {
    accessKeyId: 'STS.id',
    accessKeySecret: 'the-secret',
    securityToken: 'the-token',
  })
  await assert.rejects(tokenFile(tokenIn(dir, { expiration: '2020-01-01T00:00:00Z' }), realClock)(), /expired at 2020/)
  await assert.rejects(tokenFile(tokenIn(dir, { keyring: undefined }), realClock)(), { code: 'no-credentials' })
})

test('a failed reading is not kept, a good one is read once', async () => {
  let answers: readonly (string | undefined)[] = [
    undefined,
    'role',
    JSON.stringify({ AccessKeyId: 'i', AccessKeySecret: 's', SecurityToken: 't' }),
  ]
  let asked = 0
  const get = () => {
    asked++
    const [first, ...rest] = answers
    answers = rest
    return Promise.resolve(first)
  }
  const role = instanceRole({ get }, realClock)
  await assert.rejects(role(), /has no RAM role/)
  assert.deepEqual(await role(), { accessKeyId: 'i', accessKeySecret: 's', securityToken: 't' })
  await role()
  assert.equal(asked, 3)
})

test('the first source that has a key; else every reason', async () => {
  const none = () => Promise.reject(new Error('file missing'))
  const key = { accessKeyId: 'a', accessKeySecret: 'b' }
  assert.deepEqual(await firstOf([none, staticKey(key)])(), key)
  await assert.rejects(firstOf([none, none])(), /no source gave an access key: file missing; file missing/)
})
