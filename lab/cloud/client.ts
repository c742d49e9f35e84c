// SPDX-License-Identifier: Apache-2.0
import { call } from '../socket.ts'
import type { CloudRequests } from './protocol.ts'

/** The lab's simulated cloud, from outside its process. */
export class CloudClient {
  readonly #socket: string

  constructor(socket: string) {
    this.#socket = socket
  }

  /** Throws with the cloud's own message. */
  send<P extends keyof CloudRequests>(path: P, request: CloudRequests[P]['request']): Promise<CloudRequests[P]['reply']> {
    return call(this.#socket, 'POST', path, request)
  }

  /** One OpenAPI operation, for example `openapi('DescribeNetworkInterfaces', { InstanceId: id })`. */
  openapi(action: string, params: Readonly<Record<string, string>> = {}): Promise<object> {
    return this.send('/call', { action, params })
  }
}
