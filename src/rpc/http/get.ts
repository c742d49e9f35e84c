// SPDX-License-Identifier: Apache-2.0
import { request } from 'node:http'
import { AppError } from '#lib/errors.ts'

/** GET over a unix socket. Throws AppError `daemon-unreachable` when nobody answers within 10 s. */
export function getOverSocket(socketPath: string, path: string): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) =>
      reject(new AppError('daemon-unreachable', `no terwayd answers on ${socketPath}; does it run on this node?`, { cause }))
    const call = request({ socketPath, path, timeout: 10_000 }, response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }))
      response.on('error', fail)
    })
    call.on('timeout', () => call.destroy(new Error('no answer in 10 s')))
    call.on('error', fail)
    call.end()
  })
}
