// SPDX-License-Identifier: Apache-2.0
import { AppError } from '#lib/errors.ts'

type Json = Readonly<Record<string, unknown>>

/** What every plugin that runtimes still ship understands; 1.1.0 is added only when the whole list is known to. */
const commonVersions = ['0.3.1', '0.4.0', '1.0.0']

/** The keys of the terway plugin that change what a pod gets, and the values that this datapath has. */
const supported: Readonly<Record<string, readonly unknown[]>> = {
  eniip_virtual_type: ['', 'veth'],
  vlan_strip_type: ['', 'filter', 'vlan'],
  enable_network_priority: [false],
  symmetric_routing: [false],
}

export interface ConflistInput {
  /** Text of 10-terway.conflist, which wins, and of 10-terway.conf. */
  readonly conflist: string | undefined
  readonly conf: string | undefined
}

/**
 * The CNI configuration list for the container runtime: the terway plugin of the mounted configuration and, in their order,
 * the plugins beside it. Bandwidth is shaped by the plugin (`tc`). CNI 1.1 (STATUS, GC) is offered when terway is alone or
 * the mounted list itself claims 1.1.0: the runtime gives the version to every plugin of the list, and an old one would
 * refuse it. Throws `bad-config` naming the file and key.
 */
export function makeConflist(input: ConflistInput): string {
  const [file, text] = input.conflist !== undefined ? ['10-terway.conflist', input.conflist] : ['10-terway.conf', input.conf]
  if (text === undefined) throw bad('10-terway.conf', 'is missing: the ConfigMap eni-config must have it')
  const json = parse(file, text)
  const plugins = input.conflist === undefined ? [json] : pluginsOf(file, json)
  if (!plugins.some(p => p.type === 'terway')) throw bad(file, 'has no plugin of type terway')
  const current = plugins.every(p => p.type === 'terway') || claims(json, '1.1.0')
  const list = {
    cniVersion: '1.0.0',
    cniVersions: current ? [...commonVersions, '1.1.0'] : commonVersions,
    name: 'terway-chainer',
    plugins: plugins.map((plugin, i) => (plugin.type === 'terway' ? terway(file, plugin, i) : stripped(plugin))),
  }
  return `${JSON.stringify(list, undefined, 2)}\n`
}

function terway(file: string, plugin: Json, index: number): Json {
  for (const [key, values] of Object.entries(supported)) {
    const value = typeof plugin[key] === 'string' ? plugin[key].toLowerCase() : plugin[key]
    if (value !== undefined && !values.includes(value)) {
      throw bad(
        file,
        `plugins[${index}].${key} is ${JSON.stringify(plugin[key])}; supported: ${values.map(v => JSON.stringify(v)).join(', ')}`,
      )
    }
  }
  const { auto_mtu: _, ...rest } = stripped(plugin)
  return { ...rest, eniip_virtual_type: 'veth', bandwidth_mode: 'tc' }
}

/** Within a list, version and name belong to the list. */
function stripped(plugin: Json): Json {
  const { cniVersion: _, name: __, ...rest } = plugin
  return rest
}

function pluginsOf(file: string, list: Json): readonly Json[] {
  const { plugins } = list
  if (!Array.isArray(plugins) || plugins.length === 0) throw bad(file, 'plugins is not a list of plugins')
  return plugins.map((plugin: unknown, i) => {
    if (isJson(plugin) && typeof plugin.type === 'string' && plugin.type !== '') return plugin
    throw bad(file, `plugins[${i}].type is missing`)
  })
}

function claims(list: Json, version: string): boolean {
  return list.cniVersion === version || (Array.isArray(list.cniVersions) && list.cniVersions.includes(version))
}

function parse(file: string, text: string): Json {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (e) {
    throw bad(file, 'is not JSON', e)
  }
  if (!isJson(json)) throw bad(file, 'is not a JSON object')
  return json
}

function bad(file: string, what: string, cause?: unknown): AppError {
  return new AppError('bad-config', `${file} ${what}`, cause === undefined ? undefined : { cause })
}

function isJson(v: unknown): v is Json {
  return typeof v === 'object' && v !== null && !Array.isArray(v)
}
