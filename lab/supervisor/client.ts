// SPDX-License-Identifier: Apache-2.0
import { call } from '../socket.ts'
import type { ProcessSpec, ProcessStatus } from './spec.ts'

/** The lab's supervisor, from outside its process. */
export class SupervisorClient {
  readonly #socket: string

  constructor(socket: string) {
    this.#socket = socket
  }

  /** Starts a program, or starts it again with a new specification. */
  start(spec: ProcessSpec): Promise<ProcessStatus> {
    return call(this.#socket, 'POST', '/start', spec)
  }

  /** Ends a program and keeps it down; `kill` without asking it. A program that is unknown is down already. */
  async stop(name: string, kill = false): Promise<void> {
    await call(this.#socket, 'POST', '/stop', { name, kill })
  }

  /** A program that is down is no longer listed. */
  async forget(name: string): Promise<void> {
    await call(this.#socket, 'POST', '/forget', { name })
  }

  status(): Promise<readonly ProcessStatus[]> {
    return call(this.#socket, 'GET', '/status')
  }

  /** The running program of that name; throws when it does not run. */
  async running(name: string): Promise<ProcessStatus & { readonly pid: number }> {
    const found = (await this.status()).find(p => p.name === name)
    if (found?.pid === undefined) throw new Error(`${name} does not run${found === undefined ? ': the lab has no such process' : ''}`)
    return { ...found, pid: found.pid }
  }

  /** Port of the API server on this machine's loopback. */
  apiPort(): Promise<number> {
    return call(this.#socket, 'GET', '/api-port')
  }
}
