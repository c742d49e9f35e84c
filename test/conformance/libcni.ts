// SPDX-License-Identifier: Apache-2.0
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { must } from '../../sim/fabric/run.ts'
import type { findGo } from '../../tools/setup/go.ts'
import { compileShim } from '../support/shim.ts'

export interface LibcniCall {
  readonly verb: 'ADD' | 'CHECK' | 'DEL' | 'STATUS' | 'GC' | 'VERSION' | 'VALIDATE'
  /** A network configuration list. */
  readonly list: object
  readonly containerID?: string
  readonly netns?: string
  readonly args?: readonly (readonly [string, string])[]
  readonly valid?: readonly { readonly containerID: string; readonly ifname: string }[]
  /** Name of the runtime whose cache is used: each knows its own attachments only. */
  readonly runtime?: string
}

export interface LibcniReply {
  readonly result?: LibcniResult
  readonly versions?: readonly string[]
  /** Code 0: libcni's own error. */
  readonly error?: { readonly code: number; readonly message: string }
}

export interface LibcniResult {
  readonly cniVersion: string
  readonly interfaces: readonly { readonly name: string; readonly mac: string; readonly sandbox?: string }[]
  readonly ips: readonly Readonly<Record<string, unknown>>[]
}

/** The Go program in libcni/, compiled, with the shim as the only plugin. */
export class Libcni implements Disposable {
  readonly #dir: string
  readonly #socket: string

  private constructor(dir: string, socket: string) {
    this.#dir = dir
    this.#socket = socket
  }

  /** `goProgram` builds it; the modules come from Go's cache or its proxy. */
  static async build(go: Awaited<ReturnType<typeof findGo>>, socket: string): Promise<Libcni> {
    const dir = mkdtempSync(join(tmpdir(), 'terway-libcni-'))
    mkdirSync(join(dir, 'bin'))
    using shim = compileShim(['TERWAY_STATUS_GRACE_SECONDS=1'])
    copyFileSync(shim.path, join(dir, 'bin', 'terway'))
    const env = Object.entries({ ...go.env, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' }).map(([k, v]) => `${k}=${v}`)
    await must(['env', '-C', join(import.meta.dirname, 'libcni'), ...env, go.program, 'build', '-o', join(dir, 'libcni'), '.'])
    return new Libcni(dir, socket)
  }

  async call(call: LibcniCall): Promise<LibcniReply> {
    const { runtime = 'runtime', ...rest } = call
    const request = { pluginDir: join(this.#dir, 'bin'), cacheDir: join(this.#dir, runtime), ifName: 'eth0', ...rest }
    return JSON.parse(await must(['env', `TERWAY_CNI_SOCKET=${this.#socket}`, join(this.#dir, 'libcni')], JSON.stringify(request)))
  }

  [Symbol.dispose](): void {
    rmSync(this.#dir, { recursive: true, force: true })
  }
}
