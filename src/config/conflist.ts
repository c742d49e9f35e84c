// SPDX-License-Identifier: Apache-2.0
import { chainOf } from '#config/chain.ts'
import { terwayName } from '#config/datapath-choice.ts'
import type { DatapathKind } from '#config/datapath-switch.ts'
import { Fields } from '#config/fields.ts'
import { type PluginSettings, readPlugin } from '#config/plugin.ts'
import type { EniMode } from '#kube/crd/node.ts'
import { AppError } from '#lib/errors.ts'
import { type Cidr, parseCidr } from '#net/cidr.ts'

type Json = Readonly<Record<string, unknown>>

const nodeLocalDns = parseCidr('169.254.20.10/32')
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
  /** Of the plugins, in their order; the terway plugin without its `eniip_virtual_type`, which the node's datapath decides. */
  readonly plugins: readonly Json[]
  readonly cniVersions: readonly string[]
  readonly settings: PluginSettings
  /** Plugins that are in the mounted list and not in the runtime's, and why. */
  readonly dropped: readonly string[]
  /** Keys of the list and of the terway plugin that nobody knows: they stay in the text and have no effect. */
  readonly unknownKeys: readonly string[]
}

/**
 * The mounted CNI configuration: the terway plugin and, in their order, the plugins beside it, untouched, but for those that `chainOf` leaves out. CNI 1.1 (STATUS, GC) is offered when terway is alone or the mounted list itself claims
 * 1.1.0: the runtime gives the version to every plugin of the list, and an old one would refuse it. Throws `bad-config` naming the file and
 * every wrong key.
 */
export function readConflist(input: ConflistInput): Conflist {
  const [file, text] = input.conflist !== undefined ? ['10-terway.conflist', input.conflist] : ['10-terway.conf', input.conf]
  if (text === undefined) throw bad('10-terway.conf', 'is missing: the ConfigMap eni-config must have it')
  const json = parse(file, text)
  const list = input.conflist === undefined ? { claims11: false, plugins: [json], unknownKeys: [] } : readList(file, json)
  const read = list.plugins.map((plugin, i) => {
    if (plugin.type !== 'terway') return { plugin, settings: undefined, unknownKeys: [] }
    return readPlugin(file, plugin, input.conflist === undefined ? '' : `plugins[${i}].`, input.deviceMtu)
  })
  const settings = read.find(p => p.settings !== undefined)?.settings
  if (settings === undefined) throw bad(file, 'has no plugin of type terway')
  const { plugins, dropped } = chainOf(
    file,
    read.map(p => p.plugin),
  )
  const current = list.claims11 || plugins.every(p => p.type === 'terway')
  return {
    plugins: plugins.map(stripped),
    cniVersions: current ? [...commonVersions, '1.1.0'] : commonVersions,
    settings,
    dropped,
    unknownKeys: [...list.unknownKeys, ...read.flatMap(p => p.unknownKeys)],
  }
}

/** The file for the container runtime. The list's names are Terway's: by them a runtime finds what an earlier ADD answered. */
export function conflistText({ plugins, cniVersions, settings }: Conflist, datapath: DatapathKind, mode: EniMode = 'shared'): string {
  const typed = plugins.map(p => (p.type === 'terway' ? { ...p, eniip_virtual_type: terwayName(datapath) } : p))
  const [name, made] = mode === 'exclusive' ? ['terway', typed.map(p => exclusive(p, settings))] : ['terway-chainer', typed]
  return `${JSON.stringify({ cniVersion: '1.0.0', cniVersions, name, plugins: made }, undefined, 2)}\n`
}

/** As Terway has the plugin on a node whose pods have ENIs of their own. */
function exclusive(plugin: Json, settings: PluginSettings): Json {
  if (plugin.type !== 'terway' || plugin.again === true) return plugin
  return { ...plugin, capabilities: { bandwidth: true, ...Object(plugin.capabilities) }, host_stack_cidrs: hostStackOf(settings) }
}

/** What pods with an ENI of their own reach by their node: Terway's default, the node's own DNS cache, where the configuration says nothing. */
export function hostStackOf(settings: PluginSettings | undefined): readonly Cidr[] {
  return settings?.hostStackCidrs.length ? settings.hostStackCidrs : [nodeLocalDns]
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
