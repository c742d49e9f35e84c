// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from 'node:fs'
import { AppError } from '#lib/errors.ts'
import { withPort } from '#net/ip.ts'
import { readKubeconfig } from './kubeconfig.ts'

/** Where a credential comes from; files are read again while the process runs, because the kubelet rotates them. */
export type Source = { readonly file: string } | { readonly text: string }

/** How to reach the API server, and as whom. */
export interface KubeConfig {
  /** Origins (https://host:port) in order of preference; the next one is tried when a connection fails. */
  readonly servers: readonly string[]
  /** Further origins, asked for again when a server cannot be reached: where the API servers are may have changed meanwhile. */
  readonly remembered?: () => readonly string[]
  /** Name in the server's certificate when it is not the host of the URL. */
  readonly serverName?: string
  readonly insecure?: boolean
  /** PEM; all of them are trusted. */
  readonly ca: readonly Source[]
  readonly token?: Source
  readonly cert?: Source
  readonly key?: Source
}

export interface ConfigOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Directory with `token` and `ca.crt`. */
  readonly serviceAccount?: string
  /** JSON list of the API servers' own origins, see endpoints.ts. */
  readonly endpointsFile?: string
}

const serviceAccountDir = '/var/run/secrets/kubernetes.io/serviceaccount'

export function readSource(s: Source): string {
  if ('text' in s) return s.text
  try {
    return readFileSync(s.file, 'utf8')
  } catch (e) {
    throw new AppError('unauthorized', `credential file ${s.file} cannot be read`, { cause: e })
  }
}

/**
 * KUBECONFIG when it is set; else the pod's service account with the server of KUBERNETES_SERVICE_HOST/PORT (the chart sets them to a direct
 * address where it knows one) and after it the last good endpoints: nobody translates a Service's address on a node whose maps are still empty.
 * Throws `no-kubeconfig` or `bad-kubeconfig`.
 */
export async function loadConfig(o: ConfigOptions): Promise<KubeConfig> {
  const path = o.env.KUBECONFIG
  if (path !== undefined && path !== '') return readKubeconfig(path)
  const dir = o.serviceAccount ?? serviceAccountDir
  const token = `${dir}/token`
  if (!existsSync(token))
    throw new AppError('no-kubeconfig', `neither KUBECONFIG is set nor does ${token} exist: run inside a pod or set KUBECONFIG`)
  const servers = serviceServers(o.env)
  const remembered = () => rememberedServers(o.endpointsFile)
  if (servers.length + remembered().length === 0)
    throw new AppError('no-kubeconfig', 'no API server is known: KUBERNETES_SERVICE_HOST is not set and there is no endpoints file')
  return { servers, remembered, ca: [{ file: `${dir}/ca.crt` }], token: { file: token } }
}

function serviceServers(env: ConfigOptions['env']): readonly string[] {
  const host = env.KUBERNETES_SERVICE_HOST
  if (host === undefined || host === '') return []
  const port = env.KUBERNETES_SERVICE_PORT ?? '443'
  return [`https://${withPort(host, port)}`]
}

/** A missing or damaged file is no reason not to start: it is only a help. */
function rememberedServers(file: string | undefined): readonly string[] {
  if (file === undefined || !existsSync(file)) return []
  try {
    const list: unknown = JSON.parse(readFileSync(file, 'utf8'))
    return Array.isArray(list) ? list.filter(s => typeof s === 'string' && URL.canParse(s)) : []
  } catch {
    return []
  }
}
