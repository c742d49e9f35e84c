// SPDX-License-Identifier: Apache-2.0
import { Fields } from '#config/fields.ts'

type Json = Readonly<Record<string, unknown>>

export interface Chain {
  readonly plugins: readonly Json[]
  /** Plugins of the mounted list that are not in it, and why. */
  readonly dropped: readonly string[]
}

const without: Readonly<Record<string, string>> = {
  // What Terway puts behind its plugin for eBPF: every ADD would fail.
  'cilium-cni': 'there is no agent that it could ask',
  // Its qdisc of what a pod sends cannot be on a device with Terway's programs: every ADD of a pod with a limit would fail.
  bandwidth: 'Terway limits pods itself, by the same numbers',
}
/** Does nothing inside a pod. */
const outside = ['portmap']

/**
 * The plugins of a list as the runtime gets them; `terway` as it was read. A plugin behind it may give the pod's interface another address or MTU,
 * with which neighbours are lost: then terway comes once more at the end.
 */
export function chainOf(file: string, plugins: readonly Json[]): Chain {
  const limits = plugins.flatMap((p, i) => (p.type === 'bandwidth' ? [limitsOf(file, p, `plugins[${i}].`)] : []))
  const kept = plugins.filter(p => without[typeOf(p)] === undefined)
  const made = kept.map(p => (p.type === 'terway' ? limits.reduce(withLimits, p) : p))
  const behind = made.slice(made.findIndex(p => p.type === 'terway') + 1)
  const again = behind.some(p => p.type !== 'terway' && !outside.includes(typeOf(p))) ? [{ type: 'terway', again: true }] : []
  const dropped = [...new Set(plugins.map(typeOf))].flatMap(type => (without[type] === undefined ? [] : [`${type} (${without[type]})`]))
  return { plugins: [...made, ...again], dropped }
}

/** What terway's plugin is told in the place of `bandwidth`, whose own numbers win over those of the pod. */
function limitsOf(file: string, plugin: Json, at: string): Json {
  const f = new Fields(file, plugin, at)
  const bandwidth = { ingressRate: f.count('ingressRate', 0), egressRate: f.count('egressRate', 0) }
  const isAsked = f.members('capabilities').some(([name, value]) => name === 'bandwidth' && value === true)
  for (const key of ['shapedSubnets', 'unshapedSubnets'])
    if (f.texts(key).length > 0) f.wrong(key, 'must be removed: Terway limits all that a pod sends and receives')
  f.throwIfWrong()
  const isFixed = ['ingressRate', 'ingressBurst', 'egressRate', 'egressBurst'].some(key => f.has(key))
  return isFixed
    ? { capabilities: { bandwidth: false }, runtimeConfig: { bandwidth } }
    : isAsked
      ? { capabilities: { bandwidth: true } }
      : {}
}

function withLimits(terway: Json, limits: Json): Json {
  const { capabilities } = terway
  return {
    ...terway,
    ...limits,
    ...(limits.capabilities === undefined ? {} : { capabilities: { ...Object(capabilities), ...Object(limits.capabilities) } }),
  }
}

function typeOf({ type }: Json): string {
  return typeof type === 'string' ? type : ''
}
