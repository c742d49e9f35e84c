// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CniCall, type CniReply, cniEnv, cniStdin } from './cni-client.ts'

export interface Shim extends Disposable {
  readonly path: string
  /** Runs the plugin as a container runtime does. `env` is added to the CNI variables. */
  run(socketPath: string, call: CniCall, env?: Readonly<Record<string, string>>): Promise<CniReply>
}

/** Compiles cni/shim.c into a directory of its own; `defines` such as TERWAY_TIMEOUT_SECONDS=1. */
export function compileShim(defines: readonly string[] = []): Shim {
  const dir = mkdtempSync(join(tmpdir(), 'terway-shim-'))
  const path = join(dir, 'terway')
  const source = join(import.meta.dirname, '../../cni/shim.c')
  const flags = ['-O2', '-Wall', '-Wextra', '-Werror', '-std=gnu11', '-static', '-s']
  execFileSync('musl-gcc', [...flags, ...defines.map(d => `-D${d}`), '-o', path, source])
  return {
    path,
    run: (socketPath, call, env = {}) => runShim(path, { ...cniEnv(call), TERWAY_CNI_SOCKET: socketPath, ...env }, cniStdin(call)),
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  }
}

function runShim(path: string, env: Readonly<Record<string, string>>, stdin: string): Promise<CniReply> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, [], { env, stdio: ['pipe', 'pipe', 'inherit'] })
    const chunks: Buffer[] = []
    child.on('error', reject)
    // A shim that refuses early does not read all of its input.
    child.stdin.on('error', () => {})
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.on('close', (exit, signal) => {
      if (exit === null) return reject(new Error(`the shim died by ${signal}`))
      const text = Buffer.concat(chunks).toString()
      resolve({ exit, body: text.trim() === '' ? undefined : JSON.parse(text) })
    })
    child.stdin.end(stdin)
  })
}
