// SPDX-License-Identifier: Apache-2.0
import { connect } from 'node:net'

export interface CniCall {
  readonly command: string
  readonly containerId?: string
  readonly netns?: string
  readonly ifName?: string
  readonly args?: string
  /** The network configuration: an object, or any text. */
  readonly config?: object | string
}

export interface CniReply {
  readonly exit: number
  /** Undefined when nothing was printed. */
  readonly body: CniBody | undefined
}

/** Any result or error of the specification. */
export interface CniBody {
  readonly cniVersion?: string
  readonly code?: number
  readonly msg?: string
  readonly interfaces?: readonly { readonly name: string; readonly mac: string; readonly sandbox?: string }[]
  readonly ips?: readonly { readonly address: string; readonly gateway?: string; readonly interface?: number }[]
}

export const conf = { cniVersion: '1.1.0', name: 'terway', type: 'terway' }

export function podArgs(namespace: string, name: string, uid = ''): string {
  return `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name};K8S_POD_INFRA_CONTAINER_ID=x;K8S_POD_UID=${uid}`
}

/** The environment that a runtime gives the plugin. */
export function cniEnv(call: CniCall): Record<string, string> {
  const env = {
    CNI_COMMAND: call.command,
    CNI_CONTAINERID: call.containerId,
    CNI_NETNS: call.netns,
    CNI_IFNAME: call.ifName ?? 'eth0',
    CNI_ARGS: call.args,
    CNI_PATH: '/opt/cni/bin',
  }
  return Object.fromEntries(Object.entries(env).filter((e): e is [string, string] => e[1] !== undefined))
}

export function cniStdin(call: CniCall): string {
  return typeof call.config === 'string' ? call.config : JSON.stringify(call.config ?? conf)
}

/** Speaks the shim's side of the protocol directly: for tests of the daemon that need no process of the shim's own. */
export function callCni(socketPath: string, call: CniCall): Promise<CniReply> {
  const frame = `${Object.entries(cniEnv(call))
    .map(([k, v]) => `${k}=${v}\0`)
    .join('')}\0${cniStdin(call)}`
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath)
    const chunks: Buffer[] = []
    socket.on('error', reject)
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('end', () => {
      const [exit = '', body = ''] = Buffer.concat(chunks).toString().split('\n')
      resolve({ exit: Number(exit), body: body === '' ? undefined : JSON.parse(body) })
    })
    socket.end(frame)
  })
}
