// SPDX-License-Identifier: Apache-2.0
import type { Names } from '../names.ts'
import { call } from '../socket.ts'
import type { CloudRequests } from './protocol.ts'

/** The lab's simulated cloud, from outside its process. */
export class CloudClient {
  readonly #socket: string
  readonly #admin: string

  constructor(names: Pick<Names, 'cloudSocket' | 'adminSocket'>) {
    this.#socket = names.cloudSocket
    this.#admin = names.adminSocket
  }

  /** Throws with the cloud's own message. */
  send<P extends keyof CloudRequests>(path: P, request: CloudRequests[P]['request']): Promise<CloudRequests[P]['reply']> {
    return call(this.#socket, 'POST', path, request)
  }

  /** A request to the simulator's operator socket (sim/admin.ts): `admin('POST', '/faults', { kind: 'metadata-outage' })`. */
  admin<T>(method: string, path: string, body?: unknown): Promise<T> {
    return call(this.#admin, method, path, body)
  }

  /** One OpenAPI operation, for example `openapi('DescribeNetworkInterfaces', { InstanceId: id })`. */
  openapi(action: string, params: Readonly<Record<string, string>> = {}): Promise<object> {
    return this.send('/call', { action, params })
  }
}
