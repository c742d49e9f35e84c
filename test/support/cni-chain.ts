// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CniBody, type CniCall, cniEnv, cniStdin, podArgs } from './cni-client.ts'
import type { NetnsNode } from './netns-node.ts'

type Json = Readonly<Record<string, unknown>>

/** Where Debian has the plugins of the CNI project. */
const pluginDir = '/usr/lib/cni'

/**
 * Drives the list that the daemon has written for the runtime, as libcni does: `terway` by its shim, the others as the real programs in the node's
 * namespace. `asked` is what the runtime has for each capability.
 */
export class CniChain {
  readonly #node: NetnsNode
  readonly #asked: Json

  constructor(node: NetnsNode, asked: Json) {
    this.#node = node
    this.#asked = asked
  }

  get plugins(): readonly Json[] {
    return JSON.parse(readFileSync(join(this.#node.options.hostCniDir, '10-terway.conflist'), 'utf8')).plugins
  }

  /** The result of the last plugin. */
  async add(pod: string): Promise<CniBody> {
    let result: CniBody | undefined
    for (const plugin of this.plugins) result = await this.#run(plugin, pod, 'ADD', result)
    return result ?? assert.fail('no plugin has answered')
  }

  async check(pod: string, result: CniBody, except: string): Promise<void> {
    for (const plugin of this.plugins) if (plugin.type !== except) await this.#run(plugin, pod, 'CHECK', result)
  }

  async del(pod: string, result: CniBody): Promise<void> {
    for (const plugin of this.plugins.toReversed()) await this.#run(plugin, pod, 'DEL', result)
  }

  /** Fails when the plugin does. */
  async #run(plugin: Json, pod: string, command: string, prevResult: CniBody | undefined): Promise<CniBody | undefined> {
    const { type, capabilities } = plugin
    const known = Object.entries(Object(capabilities)).filter(([name, on]) => on === true && name in this.#asked)
    const runtimeConfig = Object.fromEntries(known.map(([name]) => [name, this.#asked[name]]))
    const config = { cniVersion: '1.0.0', name: 'chain', ...plugin, prevResult, ...(known.length > 0 && { runtimeConfig }) }
    const netns = this.#node.sandbox(`c-${pod}`)
    const call: CniCall = { command, containerId: `c-${pod}`, netns, args: podArgs('default', pod, `uid-${pod}`), config }
    const { exit, body } = type === 'terway' ? await this.#node.call(call) : this.#exec(String(type), call)
    assert.equal(exit, 0, `${command} of ${type}: ${JSON.stringify(body)}`)
    return body
  }

  #exec(type: string, call: CniCall): { exit: number | null; body: CniBody | undefined } {
    const command = [`--net=/run/netns/${this.#node.name}`, join(pluginDir, type)]
    const env = { ...cniEnv(call), PATH: process.env.PATH, CNI_PATH: pluginDir }
    const { status, stdout, stderr } = spawnSync('nsenter', command, { input: cniStdin(call), env, encoding: 'utf8' })
    assert.equal(stderr, '')
    return { exit: status, body: stdout.trim() === '' ? undefined : JSON.parse(stdout) }
  }
}

/** What a command prints inside a network namespace. */
export function inside(ns: string, ...command: string[]): string {
  return execFileSync('nsenter', [`--net=/run/netns/${ns}`, ...command], { encoding: 'utf8' })
}
