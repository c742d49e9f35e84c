// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { AppError } from '#lib/errors.ts'
import type { KubeConfig, Source } from './config.ts'
import { isObject } from './parse.ts'

type Section = Readonly<Record<string, unknown>>

function bad(path: string, text: string): AppError {
  return new AppError('bad-kubeconfig', `${path}: ${text}`)
}

/** The current context of a kubeconfig file. Refuses by name what is not supported (exec and auth-provider plugins, proxies, passwords). */
export async function readKubeconfig(path: string): Promise<KubeConfig> {
  // The parser is loaded only here: a pod with a service account never needs it.
  const { parse } = await import('yaml')
  const doc: unknown = parse(readFileSync(path, 'utf8'))
  if (!isObject(doc)) throw bad(path, 'not a kubeconfig')
  const current = doc['current-context']
  if (typeof current !== 'string' || current === '') throw bad(path, 'current-context is not set')
  const context = named(path, doc, 'contexts', current, 'context')
  const cluster = named(path, doc, 'clusters', String(context.cluster), 'cluster')
  const user = context.user === undefined || context.user === '' ? {} : named(path, doc, 'users', String(context.user), 'user')
  return fromSections(path, cluster, user)
}

function fromSections(path: string, cluster: Section, user: Section): KubeConfig {
  for (const key of ['exec', 'auth-provider', 'username', 'password', 'as'])
    if (user[key] !== undefined) throw bad(path, `user.${key} is not supported; use a token or a client certificate`)
  if (cluster['proxy-url'] !== undefined) throw bad(path, 'cluster.proxy-url is not supported; name the server itself')
  const server = cluster.server
  if (typeof server !== 'string' || !URL.canParse(server)) throw bad(path, `cluster.server ${JSON.stringify(server)} is not a URL`)
  const { origin, pathname } = new URL(server)
  if (pathname !== '/') throw bad(path, `cluster.server ${server} has a path, which is not supported`)
  const at = (section: Section, key: string) => source(dirname(resolve(path)), section, key)
  const [ca, cert, key] = [at(cluster, 'certificate-authority'), at(user, 'client-certificate'), at(user, 'client-key')]
  const token = typeof user.tokenFile === 'string' ? { file: resolve(dirname(path), user.tokenFile) } : textOf(user.token)
  const serverName = cluster['tls-server-name']
  return {
    servers: [origin],
    insecure: cluster['insecure-skip-tls-verify'] === true,
    ca: ca === undefined ? [] : [ca],
    ...(typeof serverName === 'string' && { serverName }),
    ...(token && { token }),
    ...(cert && { cert }),
    ...(key && { key }),
  }
}

function textOf(v: unknown): Source | undefined {
  return typeof v === 'string' && v !== '' ? { text: v } : undefined
}

/** `<key>-data` in base64 goes before the file `<key>`, whose path is relative to the kubeconfig. */
function source(dir: string, section: Section, key: string): Source | undefined {
  const data = section[`${key}-data`]
  if (typeof data === 'string' && data !== '') return { text: Buffer.from(data, 'base64').toString('utf8') }
  const file = section[key]
  return typeof file === 'string' && file !== '' ? { file: resolve(dir, file) } : undefined
}

function named(path: string, doc: Section, list: string, name: string, inner: string): Section {
  const items = doc[list]
  const found: unknown = Array.isArray(items) ? items.find(i => isObject(i) && i.name === name) : undefined
  const body = isObject(found) ? found[inner] : undefined
  if (!isObject(body)) throw bad(path, `${list} has no entry ${JSON.stringify(name)}`)
  return body
}
