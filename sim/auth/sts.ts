// SPDX-License-Identifier: Apache-2.0
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { fault } from '../model/errors.ts'
import type { State } from '../model/state.ts'

export interface Credentials {
  readonly accessKeyId: string
  readonly accessKeySecret: string
  readonly securityToken: string
  readonly expiration: number
}

/** Credentials of a role last 6 h, and new ones are handed out each hour (ECS: instance RAM roles). */
const lifeMs = 6 * 3600_000
const rotateMs = 3600_000

/**
 * Temporary credentials are computed, not stored: everything follows from the role, the instance and the hour, keyed with the
 * secrets of the seed's own keys, so that they stay valid over a restart and nobody without those secrets can make them.
 */
function rootKey(state: State): Buffer {
  const secrets = state.list('account').map(account => account.secret)
  return createHmac('sha256', `${state.settings.seed}/${secrets.join('/')}`)
    .update('sts')
    .digest()
}

export function issue(state: State, role: string, instanceId: string, now: number): Credentials {
  const expiration = Math.floor(now / rotateMs) * rotateMs + lifeMs
  const claims = Buffer.from(JSON.stringify({ role, instanceId, expiration })).toString('base64url')
  const key = rootKey(state)
  const accessKeyId = `STS.${createHash('sha256').update(claims).digest('base64url').replace(/[-_]/g, '0').slice(0, 24)}`
  return {
    accessKeyId,
    accessKeySecret: createHmac('sha256', key).update(accessKeyId).digest('base64url').slice(0, 44),
    securityToken: `${claims}.${createHmac('sha256', key).update(claims).digest('base64url')}`,
    expiration,
  }
}

/** The role and the secret behind a temporary key; InvalidSecurityToken.* (400) when key and token do not belong together. */
export function redeem(
  state: State,
  accessKeyId: string,
  token: string | undefined,
  now: number,
): { readonly role: string; readonly secret: string } {
  if (token === undefined || token === '') throw fault('MissingSecurityToken', 'The SecurityToken is mandatory for this action.')
  const [claims = '', seal = ''] = token.split('.')
  const expected = createHmac('sha256', rootKey(state)).update(claims).digest()
  const given = Buffer.from(seal, 'base64url')
  if (given.length !== expected.length || !timingSafeEqual(given, expected))
    throw fault('InvalidSecurityToken.Malformed', 'The specified SecurityToken is malformed.')
  const { role, instanceId, expiration } = JSON.parse(Buffer.from(claims, 'base64url').toString('utf8')) as {
    role: string
    instanceId: string
    expiration: number
  }
  if (now >= expiration) throw fault('InvalidSecurityToken.Expired', 'The specified SecurityToken is expired.')
  const credentials = issue(state, role, instanceId, expiration - lifeMs)
  if (credentials.accessKeyId !== accessKeyId)
    throw fault('InvalidSecurityToken.MismatchWithAccessKey', 'The specified SecurityToken mismatches with the AccessKey.')
  return { role, secret: credentials.accessKeySecret }
}
