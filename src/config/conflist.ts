// SPDX-License-Identifier: Apache-2.0
import { Fields } from '#config/fields.ts'
import { readPlugin } from '#config/plugin.ts'
import { AppError } from '#lib/errors.ts'

type Json = Readonly<Record<string, unknown>>

/** What every plugin that runtimes still ship understands; 1.1.0 is added only when the whole list is known to. */
const commonVersions = ['0.3.1', '0.4.0', '1.0.0']

export interface ConflistInput {
  /** Text of 10-terway.conflist, which wins, and of 10-terway.conf. */
  readonly conflist: string | undefined
  readonly conf: string | undefined
  /** MTU of the node's own device, for `auto_mtu`. */
  readonly deviceMtu: number
}

export interface Conflist {
  /** The file for the container runtime. */
  readonly text: string
  /** Keys of the list and of the terway plugin that nobody knows: they stay in the text and have no effect. */
  readonly unknownKeys: readonly string[]
}

/**
 * The CNI configuration list for the container runtime: the terway plugin of the mounted configuration and, in their order,
 * the plugins beside it, untouched. Bandwidth is shaped by the plugin (`tc`). CNI 1.1 (STATUS, GC) is offered when terway is alone
 * or the mounted list itself claims 1.1.0: the runtime gives the version to every plugin of the list, and an old one would
 * refuse it. Throws `bad-config` naming the file and every wrong key.
 */
export function makeConflist(input: ConflistInput): Conflist {
  const [file, text] = input.conflist !== undefined ? ['10-terway.conflist', input.conflist] : ['10-terway.conf', input.conf]
  if (text === undefined) throw bad('10-terway.conf', 'is missing: the ConfigMap eni-config must have it')
  const json = parse(file, text)
  const list = input.conflist === undefined ? { claims11: false, plugins: [json], unknownKeys: [] } : readList(file, json)
  const plugins = list.plugins.map((plugin, i) => {
    if (plugin.type !== 'terway') return { plugin, unknownKeys: [] }
    return readPlugin(file, plugin, input.conflist === undefined ? '' : `plugins[${i}].`, input.deviceMtu)
  })
  if (!list.plugins.some(p => p.type === 'terway')) throw bad(file, 'has no plugin of type terway')
  const current = list.claims11 || list.plugins.every(p => p.type === 'terway')
  const made = {
    cniVersion: '1.0.0',
    cniVersions: current ? [...commonVersions, '1.1.0'] : commonVersions,
    name: 'terway-chainer',
    plugins: plugins.map(({ plugin }) => stripped(plugin)),
  }
  const unknownKeys = [...list.unknownKeys, ...plugins.flatMap(p => p.unknownKeys)]
  return { text: `${JSON.stringify(made, undefined, 2)}\n`, unknownKeys }
}

function readList(file: string, json: Json): { claims11: boolean; plugins: readonly Json[]; unknownKeys: readonly string[] } {
  const f = new Fields(file, json)
  const versions = [f.text('cniVersion', ''), ...f.texts('cniVersions')]
  f.text('name', '')
  for (const key of ['disableCheck', 'disableGC', 'loadOnlyInlinedPlugins']) f.flag(key, false)
  const plugins = f.objects('plugins')
  if (plugins.length === 0) f.wrong('plugins', 'names no plugin')
  for (const [i, { type }] of plugins.entries()) if (typeof type !== 'string' || type === '') f.wrong(`plugins[${i}].type`, 'is missing')
  f.throwIfWrong()
  return { claims11: versions.includes('1.1.0'), plugins, unknownKeys: f.unread() }
}

/** Within a list, version and name belong to the list. */
function stripped(plugin: Json): Json {
  const { cniVersion: _, name: __, ...rest } = plugin
  return rest
}

function parse(file: string, text: string): Json {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (e) {
    throw bad(file, 'is not JSON', e)
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw bad(file, 'is not a JSON object')
  return json as Json
}

function bad(file: string, what: string, cause?: unknown): AppError {
  return new AppError('bad-config', `${file} ${what}`, cause === undefined ? undefined : { cause })
}
