// SPDX-License-Identifier: Apache-2.0
import openApiUtil from '@alicloud/openapi-util'
import type { Credentials } from '#cloud/credentials.ts'
import { CloudError } from '#cloud/errors.ts'
import { type Clock, realClock } from '#lib/clock.ts'
import { messageOf } from '#lib/errors.ts'

/** Calls one action of one product and gives the parsed JSON reply. Throws CloudError. */
export type Rpc = (action: string, parameters: RpcParameters) => Promise<unknown>
/** Lists become `Name.1`, `Name.2`, …; records in them `Name.1.Key`; undefined is left out. */
export type RpcParameters = Readonly<Record<string, RpcValue | undefined>>
type RpcValue = string | number | boolean | readonly string[] | readonly Readonly<Record<string, string>>[]

export type Product = 'ecs' | 'vpc'
const apiVersion: Readonly<Record<Product, string>> = { ecs: '2014-05-26', vpc: '2016-04-28' }

/** Where and how the OpenAPI is reached: Terway's environment variables, parsed. */
export interface Endpoints {
  readonly scheme: 'http' | 'https'
  readonly region: string
  /** host[:port] per product. */
  readonly host: Readonly<Record<Product, string>>
  /** Sent with each call on Apsara Stack. */
  readonly ascmContext?: string
}

/**
 * ECS_ENDPOINT and VPC_ENDPOINT (URL or host; only host[:port] counts), ALICLOUD_CLIENT_SCHEME (HTTPS), ALICLOUD_ENDPOINT_TYPE
 * (`public`, default `vpc` = reachable from inside the VPC), X-ACSPROXY-ASCM-CONTEXT.
 */
export function endpointsFrom(env: Readonly<Record<string, string | undefined>>, region: string): Endpoints {
  const network = env.ALICLOUD_ENDPOINT_TYPE === 'public' ? '' : '-vpc'
  const context = env['X-ACSPROXY-ASCM-CONTEXT']
  return {
    scheme: env.ALICLOUD_CLIENT_SCHEME?.toUpperCase() === 'HTTP' ? 'http' : 'https',
    region,
    host: {
      ecs: hostOf(env.ECS_ENDPOINT) ?? `ecs${network}.${region}.aliyuncs.com`,
      vpc: hostOf(env.VPC_ENDPOINT) ?? `vpc${network}.${region}.aliyuncs.com`,
    },
    ...(context === undefined || context === '' ? {} : { ascmContext: context }),
  }
}

function hostOf(endpoint: string | undefined): string | undefined {
  if (endpoint === undefined || endpoint === '') return undefined
  return endpoint.replace(/^[a-z]+:\/\//i, '').replace(/\/.*$/, '')
}

/** Milliseconds until a call without answer fails with `Timeout`, as in Terway's clients. */
export const callTimeout = 20_000

/** RPC-style calls: parameters in the query, signed with HMAC-SHA1 by the vendor's own library, JSON replies. */
export function makeRpc(
  product: Product,
  endpoints: Endpoints,
  credentials: Credentials,
  fetchFn: typeof fetch = fetch,
  clock: Pick<Clock, 'wall' | 'uuid'> = realClock,
): Rpc {
  return async (action, parameters) => {
    const query = await sign(
      action,
      { ...openApiUtil.default.query({ ...parameters }), Action: action, Version: apiVersion[product] },
      endpoints,
      credentials,
      clock,
    )
    const url = `${endpoints.scheme}://${endpoints.host[product]}/?${new URLSearchParams(query)}`
    const headers: Record<string, string> = { 'user-agent': `Terway/1 Kubernetes.Alicloud`, accept: 'application/json' }
    if (endpoints.ascmContext !== undefined) headers['x-acsproxy-ascm-context'] = endpoints.ascmContext
    try {
      const reply = await fetchFn(url, { method: 'POST', headers, signal: AbortSignal.timeout(callTimeout) })
      return read(action, reply.status, await reply.text())
    } catch (cause) {
      if (cause instanceof CloudError) throw cause
      const timedOut = cause instanceof DOMException && cause.name === 'TimeoutError'
      const at = `${endpoints.scheme}://${endpoints.host[product]}`
      throw new CloudError(
        action,
        timedOut ? 'Timeout' : 'NetworkError',
        timedOut ? `${at} gave no answer in ${callTimeout / 1000} s` : `cannot reach ${at}`,
        {
          cause,
        },
      )
    }
  }
}

async function sign(
  action: string,
  parameters: Record<string, string>,
  endpoints: Endpoints,
  credentials: Credentials,
  clock: Pick<Clock, 'wall' | 'uuid'>,
): Promise<Record<string, string>> {
  const key = await credentials().catch((e: unknown) => {
    // Nothing was sent: a refusal, and no doubt about what the cloud did.
    throw new CloudError(action, 'NoCredentials', messageOf(e), { class: 'denied' })
  })
  const signed: Record<string, string> = {
    ...parameters,
    RegionId: endpoints.region,
    Format: 'JSON',
    AccessKeyId: key.accessKeyId,
    SignatureMethod: 'HMAC-SHA1',
    SignatureVersion: '1.0',
    SignatureNonce: clock.uuid(),
    Timestamp: new Date(clock.wall()).toISOString().replace(/\.\d+Z$/, 'Z'),
    ...(key.securityToken === undefined ? {} : { SecurityToken: key.securityToken }),
  }
  return { ...signed, Signature: openApiUtil.default.getRPCSignature(signed, 'POST', key.accessKeySecret) }
}

function read(action: string, httpStatus: number, text: string): unknown {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch (cause) {
    throw new CloudError(action, 'BadReply', `HTTP ${httpStatus} without a JSON body`, { httpStatus, cause })
  }
  const fields: Readonly<Record<string, unknown>> = typeof body === 'object' && body !== null ? { ...body } : {}
  if (httpStatus >= 200 && httpStatus < 300) return body
  const text1 = (key: string) => (typeof fields[key] === 'string' ? fields[key] : undefined)
  const requestId = text1('RequestId')
  throw new CloudError(action, text1('Code') ?? 'UnknownError', text1('Message') ?? `HTTP ${httpStatus}`, {
    httpStatus,
    ...(requestId === undefined ? {} : { requestId }),
  })
}
