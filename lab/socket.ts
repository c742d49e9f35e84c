// SPDX-License-Identifier: Apache-2.0
import { request } from 'node:http'

/** One JSON request over a unix socket; throws with the server's own message for a status of 400 and more. */
export function call<T>(socketPath: string, method: string, path: string, body?: unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    const req = request({ socketPath, method, path, headers: { 'content-type': 'application/json' } }, response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        if ((response.statusCode ?? 500) >= 400) reject(new Error(`${method} ${path}: ${response.statusCode} ${text}`))
        else resolve((text === '' ? null : JSON.parse(text)) as T)
      })
    })
    req.on('error', e => reject(new Error(`${socketPath}: ${e.message}`, { cause: e })))
    req.end(body === undefined ? undefined : JSON.stringify(body))
  })
}
