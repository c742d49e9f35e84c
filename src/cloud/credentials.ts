// SPDX-License-Identifier: Apache-2.0
import { createDecipheriv } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { DefaultCredentialsProvider } from '@alicloud/credentials'
import type { Metadata } from '#cloud/metadata.ts'
import type { Clock } from '#lib/clock.ts'
import { AppError, messageOf } from '#lib/errors.ts'

export interface AccessKey {
  readonly accessKeyId: string
  readonly accessKeySecret: string
  readonly securityToken?: string
}
/** The key to sign the next call with; cached and renewed by its source. Throws AppError `no-credentials`. */
export type Credentials = () => Promise<AccessKey>
export type CredentialsCode = 'no-credentials'

/** Milliseconds between two readings of a credential that can be renewed: Terway's 30 minutes. */
const renewEvery = 30 * 60_000

export function staticKey(key: AccessKey): Credentials {
  return () => Promise.resolve(key)
}

/** The encrypted STS token that ACK mounts into addons: `{access.key.id, access.key.secret, security.token, expiration, keyring}`. */
export function tokenFile(path: string, clock: Clock): Credentials {
  return renewing(clock, async () => {
    const fields: unknown = JSON.parse(await readFile(path, 'utf8'))
    const text = (name: string) => {
      const value = typeof fields === 'object' && fields !== null ? (fields as Readonly<Record<string, unknown>>)[name] : undefined
      if (typeof value !== 'string' || value === '')
        throw new AppError<CredentialsCode>('no-credentials', `${path}: field ${name} is missing`)
      return value
    }
    const keyring = text('keyring')
    const expires = Date.parse(text('expiration'))
    if (expires <= clock.wall())
      throw new AppError<CredentialsCode>('no-credentials', `${path}: the token expired at ${text('expiration')}`)
    return {
      accessKeyId: decrypt(text('access.key.id'), keyring),
      accessKeySecret: decrypt(text('access.key.secret'), keyring),
      securityToken: decrypt(text('security.token'), keyring),
    }
  })
}

/** Base64 of a 16-byte IV and AES-CBC, PKCS #5 padding, with the keyring's bytes as key. */
function decrypt(field: string, keyring: string): string {
  const bytes = Buffer.from(field, 'base64')
  const key = Buffer.from(keyring)
  const cipher = createDecipheriv(`aes-${key.length * 8}-cbc`, key, bytes.subarray(0, 16))
  return Buffer.concat([cipher.update(bytes.subarray(16)), cipher.final()]).toString('utf8')
}

/** The RAM role of the ECS instance, through the metadata service (whose address may be overridden, unlike in the vendor's provider). */
export function instanceRole(metadata: Metadata, clock: Clock): Credentials {
  return renewing(clock, async () => {
    const role = await metadata.get('ram/security-credentials/')
    const text = role === undefined ? undefined : await metadata.get(`ram/security-credentials/${role}`)
    if (text === undefined)
      throw new AppError<CredentialsCode>('no-credentials', 'the instance has no RAM role: attach one, or configure an access key')
    const fields = JSON.parse(text) as Readonly<Record<string, unknown>>
    const { AccessKeyId, AccessKeySecret, SecurityToken } = fields
    if (typeof AccessKeyId !== 'string' || typeof AccessKeySecret !== 'string' || typeof SecurityToken !== 'string')
      throw new AppError<CredentialsCode>('no-credentials', `RAM role ${role}: the metadata service gave no key`)
    return { accessKeyId: AccessKeyId, accessKeySecret: AccessKeySecret, securityToken: SecurityToken }
  })
}

/** The vendor's default chain: environment, OIDC (RRSA), profile files. */
export function vendorChain(): Credentials {
  const provider = DefaultCredentialsProvider.builder().build()
  return async () => {
    const c = await provider.getCredentials()
    return {
      accessKeyId: c.accessKeyId,
      accessKeySecret: c.accessKeySecret,
      ...(c.securityToken ? { securityToken: c.securityToken } : {}),
    }
  }
}

/** The first source that gives a key; the error lists what each of them said. */
export function firstOf(sources: readonly Credentials[]): Credentials {
  return async () => {
    const reasons: string[] = []
    for (const source of sources) {
      try {
        return await source()
      } catch (e) {
        reasons.push(messageOf(e))
      }
    }
    throw new AppError<CredentialsCode>('no-credentials', `no source gave an access key: ${reasons.join('; ')}`)
  }
}

/** Reads again after 30 minutes; concurrent callers share one reading; a failed reading is not kept. */
function renewing(clock: Clock, read: () => Promise<AccessKey>): Credentials {
  let cached: { key: Promise<AccessKey>; until: number } | undefined
  return () => {
    if (cached === undefined || clock.now() >= cached.until) {
      const key = read()
      const entry = { key, until: clock.now() + renewEvery }
      cached = entry
      key.catch(() => {
        if (cached === entry) cached = undefined
      })
    }
    return cached.key
  }
}
