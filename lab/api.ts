// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'

export interface Answer {
  readonly status: number
  readonly text: string
}

/** Plain HTTPS requests to the lab's API server as its administrator, through this machine's loopback. */
export class Api {
  readonly #port: number
  readonly #pki: string

  constructor(port: number, pki: string) {
    this.#port = port
    this.#pki = pki
  }

  send(method: string, path: string, body?: unknown, contentType = 'application/json'): Promise<Answer> {
    const file = (name: string) => readFileSync(join(this.#pki, name))
    const options = {
      host: '127.0.0.1',
      port: this.#port,
      method,
      path,
      ca: file('ca.crt'),
      cert: file('admin.crt'),
      key: file('admin.key'),
    }
    return new Promise((resolve, reject) => {
      const req = request({ ...options, agent: false, timeout: 30_000, headers: { 'content-type': contentType } }, response => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
      })
      req.on('timeout', () => req.destroy(new Error(`${method} ${path}: no answer in 30 s`)))
      req.on('error', reject)
      req.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }

  /** GET of an object; undefined when it does not exist. */
  async get<T>(path: string): Promise<T | undefined> {
    const { status, text } = await this.send('GET', path)
    if (status === 404) return undefined
    if (status >= 300) throw new Error(`GET ${path}: ${status} ${text}`)
    return JSON.parse(text) as T
  }

  /** Whether the API server says that it serves; false while nothing answers. */
  async ready(): Promise<boolean> {
    return this.send('GET', '/readyz').then(
      answer => answer.status === 200,
      () => false,
    )
  }
}
