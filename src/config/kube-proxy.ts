// SPDX-License-Identifier: Apache-2.0
import type { Capabilities } from '#config/capabilities.ts'
import type { Fields } from '#config/fields.ts'

/** First and last. */
export interface PortRange {
  readonly first: number
  readonly last: number
}

/** Keys of ours in eni_conf: Services without kube-proxy. */
export interface KubeProxyKeys {
  /** Whether programs translate Services instead of kube-proxy; absent: as the node's capability or the daemon's feature gate says. */
  readonly kubeProxyReplacement?: boolean
  /** Whether they do so on nodes whose pods have an ENI each, wherever kube-proxy is: it never meets what such pods send. Absent: as on any node. */
  readonly exclusiveServices?: boolean
  /** Ports of the node that answers of backends elsewhere come to. */
  readonly natPorts?: PortRange
  /** Entries of the table of flows; absent: as many as the node's memory is for. */
  readonly conntrackEntries?: number
  /** How many flows a pod may have; absent: as many as there is room for. */
  readonly conntrackEntriesPerPod?: number
  /** How backends are chosen for Services that do not say it themselves; absent: at random. */
  readonly serviceAlgorithm?: ServiceAlgorithm
}

export const serviceAlgorithms = ['random', 'maglev'] as const
export type ServiceAlgorithm = (typeof serviceAlgorithms)[number]

/** Above the ports that Linux gives to sockets by itself. */
export const defaultNatPorts: PortRange = { first: 61000, last: 65535 }
/** So many connections to one backend at the same time, at least. */
const fewestPorts = 256

/** Terway's capability and feature gate. */
const capability = 'kube_proxy_replacement'
const algorithmKey = 'service_algorithm'
export const kubeProxyGate = 'KubeProxyReplacement'

export function readKubeProxyKeys(f: Fields): KubeProxyKeys {
  const replaces = f.has('kube_proxy_replacement') ? f.flag('kube_proxy_replacement', false) : undefined
  const exclusive = f.has('exclusive_services') ? f.flag('exclusive_services', false) : undefined
  const natPorts = readRange(f, 'nat_port_range')
  const algorithm = readAlgorithm(f, algorithmKey)
  const entries = f.between('conntrack_entries', 1024, 16_777_216)
  const perPod = f.between('conntrack_entries_per_pod', 0, 16_777_216)
  return {
    ...(replaces !== undefined && { kubeProxyReplacement: replaces }),
    ...(exclusive !== undefined && { exclusiveServices: exclusive }),
    ...(natPorts !== undefined && { natPorts }),
    ...(entries !== undefined && { conntrackEntries: entries }),
    ...(perPod !== undefined && perPod > 0 && { conntrackEntriesPerPod: perPod }),
    ...(algorithm !== undefined && { serviceAlgorithm: algorithm }),
  }
}

/** Who decides, the first that speaks: the configuration, what the node has decided before, the daemon's feature gate. `isExclusive`: its pods have an ENI each. */
export function replacesKubeProxy(conf: KubeProxyKeys, capabilities: Capabilities, gate: boolean, isExclusive: boolean): boolean {
  if (isExclusive && conf.exclusiveServices === true) return true
  return conf.kubeProxyReplacement ?? (capabilities.get(capability) === 'true' || gate)
}

/** What the capability file says of it: as with Terway nothing on a node that never had it. */
export function kubeProxyCapability(replaces: boolean, capabilities: Capabilities): Readonly<Record<string, string>> {
  return replaces || capabilities.has(capability) ? { [capability]: String(replaces) } : {}
}

/** What the capability file tells terway-policy of it: nothing where it was always the usual one. */
export function algorithmCapability(algorithm: ServiceAlgorithm, capabilities: Capabilities): Readonly<Record<string, string>> {
  return algorithm !== 'random' || capabilities.has(algorithmKey) ? { [algorithmKey]: algorithm } : {}
}

export function algorithmOf(capabilities: Capabilities): ServiceAlgorithm {
  return serviceAlgorithms.find(name => name === capabilities.get(algorithmKey)) ?? 'random'
}

function readAlgorithm(f: Fields, key: string): ServiceAlgorithm | undefined {
  const text = f.text(key, '')
  const found = serviceAlgorithms.find(name => name === text)
  if (found === undefined && text !== '') f.wrong(key, `is ${JSON.stringify(text)}, must be ${serviceAlgorithms.join(' or ')}`)
  return found
}

function readRange(f: Fields, key: string): PortRange | undefined {
  const text = f.text(key, '')
  if (text === '') return undefined
  const [, first = 0, last = 0] = /^(\d{1,5})-(\d{1,5})$/.exec(text)?.map(Number) ?? []
  if (first >= 1024 && last <= 65535 && last - first + 1 >= fewestPorts) return { first, last }
  f.wrong(key, `is ${JSON.stringify(text)}, must be first-last within 1024-65535, of at least ${fewestPorts} ports`)
  return undefined
}
