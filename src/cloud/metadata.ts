// SPDX-License-Identifier: Apache-2.0
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { type Backoff, delays } from '#lib/backoff.ts'
import type { Clock } from '#lib/clock.ts'
import { AppError, messageOf } from '#lib/errors.ts'

export type MetadataCode = 'metadata-unreachable'

/** The instance metadata service of the machine that the process runs on. */
export interface Metadata {
  /** The value at `latest/meta-data/<path>`, without a trailing slash; undefined when there is none (404). Throws `metadata-unreachable`. */
  get(path: string): Promise<string | undefined>
}

/** Told of each try: the URL, and whether it failed (a 404 is an answer), ms. Never throws. */
export type MetadataObserver = (url: string, failed: boolean, ms: number) => void

export const defaultMetadataBase = 'http://100.100.100.200'
const tokenSeconds = 21_600
/** 4 tries, 500 ms × 1.2 apart, as Terway makes them. */
const retries: Backoff = { initialDelay: 0, duration: 500, factor: 1.2, jitter: 0, steps: 4 }
const timeout = 30_000

/** As much of `fetch` as the service needs. */
export type Ask = (
  url: string,
  options: { readonly method?: string; readonly headers: Readonly<Record<string, string>>; readonly signal: AbortSignal },
) => Promise<{ readonly ok: boolean; readonly status: number; text(): Promise<string> }>

/** Not Node's own `fetch`: its first use costs a daemon 15 MB that stay. */
const ask: Ask = (url, options) =>
  new Promise((resolve, reject) => {
    const call = request(url, options, answer => {
      const status = answer.statusCode ?? 0
      resolve({ ok: status >= 200 && status < 300, status, text: () => text(answer) })
    })
    call.on('error', reject)
    call.end()
  })

/** `base` comes from a flag or ALIBABA_CLOUD_IMDS_ENDPOINT (host or URL). Token mode: one token serves half its life; a 401 fetches one new token. */
export function makeMetadata(
  clock: Clock,
  base: string = defaultMetadataBase,
  askFn: Ask = ask,
  observe: MetadataObserver = () => {},
): Metadata {
  const root = base.includes('://') ? base.replace(/\/+$/, '') : `http://${base}`
  let token: { value: string; until: number } | undefined

  const freshToken = async () => {
    if (token !== undefined && clock.now() < token.until) return token.value
    const reply = await askFn(`${root}/latest/api/token`, {
      method: 'PUT',
      headers: { 'X-aliyun-ecs-metadata-token-ttl-seconds': String(tokenSeconds) },
      signal: AbortSignal.timeout(timeout),
    })
    if (!reply.ok) throw new Error(`token: HTTP ${reply.status}`)
    token = { value: await reply.text(), until: clock.now() + (tokenSeconds / 2) * 1000 }
    return token.value
  }

  const once = async (path: string) =>
    askFn(`${root}/latest/meta-data/${path}`, {
      headers: { 'X-aliyun-ecs-metadata-token': await freshToken() },
      signal: AbortSignal.timeout(timeout),
    })

  const observed = async (path: string) => {
    const start = clock.now()
    let failed = true
    try {
      const reply = await once(path)
      failed = !reply.ok && reply.status !== 404
      return reply
    } finally {
      observe(`${root}/latest/meta-data/${path}`, failed, clock.now() - start)
    }
  }

  const get = async (path: string) => {
    let last: unknown
    for (const ms of delays(retries, () => clock.random())) {
      if (ms > 0) await clock.sleep(ms)
      try {
        let reply = await observed(path)
        if (reply.status === 401) {
          token = undefined
          reply = await observed(path)
        }
        if (reply.ok) return (await reply.text()).trim().replace(/\/$/, '')
        if (reply.status === 404) return undefined
        last = new Error(`HTTP ${reply.status}`)
        if (reply.status !== 429 && reply.status < 500) break
      } catch (e) {
        last = e
      }
    }
    throw new AppError<MetadataCode>('metadata-unreachable', `metadata service ${root}, ${path}: ${messageOf(last)}`, { cause: last })
  }
  return { get }
}
