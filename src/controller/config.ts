// SPDX-License-Identifier: Apache-2.0
import { parse } from 'yaml'
import { Fields } from '#config/fields.ts'
import { readStack } from '#config/ip-stack.ts'
import type { ElectionTimes } from '#kube/elect.ts'
import { parseDuration } from '#lib/duration.ts'
import { AppError, messageOf } from '#lib/errors.ts'

/** ctrl-config.yaml, as far as it applies. Durations in milliseconds. */
export interface ControllerConfig {
  readonly regionId: string
  readonly clusterId: string
  readonly vpcId: string
  readonly controllerNamespace: string
  /** Also the name of the leader-election Lease, as in Terway (which validates leaseLockName and does not use it). */
  readonly controllerName: string
  readonly leaderElection: boolean
  readonly election: ElectionTimes
  readonly healthzBindAddress: string
  /** "0" = off. */
  readonly metricsBindAddress: string
  readonly nodeLabelWhiteList: Readonly<Record<string, string>>
  readonly nodeConcurrency: number
  readonly syncPeriod: number
  readonly adjustPeriod: number
  readonly minFailureDelay: number
  readonly maxFailureDelay: number
  readonly vSwitchCache: { readonly size: number; readonly ttl: number }
  /** Calls per minute, by API. */
  readonly rateLimit: Readonly<Record<string, number>>
}

export interface ParsedConfig {
  readonly config: ControllerConfig
  readonly unknownKeys: readonly string[]
}

/** Keys of Terway that change nothing here: client limits are built in, and the parts they tune are not there. */
const withoutEffect = [
  ...['leaseLockName', 'leaseLockNamespace', 'clusterDomain', 'webhookPort', 'certDir', 'enableTrace', 'enableDevicePlugin'],
  ...['podMaxConcurrent', 'podENIMaxConcurrent', 'nodeMaxConcurrent', 'multiIPPodMaxConcurrent', 'eniMaxConcurrent'],
  ...['kubeClientQPS', 'kubeClientBurst', 'customStatefulWorkloadKinds', 'ipamType', 'enableTrunk'],
  ...['enableWebhookInjectResource', 'backoffOverride', 'disableWebhook', 'centralizedIPAM'],
]
/** Terway's controllers that exist here; they always run. */
export const controllers = ['node', 'multi-ip-node', 'multi-ip-pod']

/** Throws `bad-config` with every problem: a configuration is taken whole or not at all. */
export function parseControllerConfig(text: string): ParsedConfig {
  let json: unknown
  try {
    json = parse(text)
  } catch (e) {
    throw new AppError('bad-config', `ctrl-config.yaml is not YAML: ${messageOf(e)}`, { cause: e })
  }
  const f = new Fields('ctrl-config.yaml', json)
  for (const key of withoutEffect) f.seen(key)
  refuse(f)
  // Without effect here, where the Node CR says which families a node has; a wrong word would still mislead its reader.
  readStack(f, 'ipStack')
  const config: ControllerConfig = {
    regionId: f.text('regionID', ''),
    clusterId: required(f, 'clusterID'),
    vpcId: required(f, 'vpcID'),
    controllerNamespace: f.text('controllerNamespace', 'kube-system'),
    controllerName: f.text('controllerName', 'terway-controlplane'),
    leaderElection: f.flag('leaderElection', true),
    election: {
      leaseDuration: duration(f, 'leaseDuration', '15s'),
      renewDeadline: duration(f, 'renewDeadline', '10s'),
      retryPeriod: duration(f, 'retryPeriod', '2s'),
    },
    healthzBindAddress: f.text('healthzBindAddress', '127.0.0.1:8080'),
    metricsBindAddress: f.text('metricsBindAddress', '0'),
    nodeLabelWhiteList: f.textMap('nodeLabelWhiteList'),
    nodeConcurrency: between(f, 'multiIPNodeMaxConcurrent', 500, 20_000),
    syncPeriod: duration(f, 'multiIPNodeSyncPeriod', '12h'),
    adjustPeriod: duration(f, 'multiIPGCPeriod', '2m'),
    minFailureDelay: duration(f, 'multiIPMinSyncPeriodOnFailure', '1s'),
    maxFailureDelay: duration(f, 'multiIPMaxSyncPeriodOnFailure', '300s'),
    vSwitchCache: { size: between(f, 'vSwitchPoolSize', 1000, 1_000_000), ttl: duration(f, 'vSwitchCacheTTL', '20m0s') },
    rateLimit: limits(f),
  }
  const { leaseDuration, renewDeadline, retryPeriod } = config.election
  if (renewDeadline >= leaseDuration) f.wrong('renewDeadline', 'must be less than leaseDuration')
  if (retryPeriod >= renewDeadline) f.wrong('retryPeriod', 'must be less than renewDeadline')
  f.throwIfWrong()
  return { config, unknownKeys: f.unread() }
}

/** Known keys whose value would promise something that is not there. */
function refuse(f: Fields): void {
  if (f.text('degradation', '') !== '') f.wrong('degradation', 'is not supported')
  for (const name of f.texts('controllers')) {
    if (!name.startsWith('-') && name !== '*' && !controllers.includes(name))
      f.wrong('controllers', `names ${name}, which is not supported; supported are ${controllers.join(', ')}`)
  }
  const off = f.texts('controllers').filter(name => controllers.includes(name.slice(1)) && name.startsWith('-'))
  if (off.length > 0) f.wrong('controllers', `cannot switch off ${off.map(o => o.slice(1)).join(', ')}`)
}

function required(f: Fields, key: string): string {
  const value = f.text(key, '')
  if (value === '') f.wrong(key, 'is required')
  return value
}

function duration(f: Fields, key: string, fallback: string): number {
  const text = f.text(key, fallback)
  try {
    return parseDuration(text)
  } catch (e) {
    f.wrong(key, messageOf(e))
    return 0
  }
}

function between(f: Fields, key: string, fallback: number, most: number): number {
  const value = f.count(key, fallback)
  if (value < 1 || value > most) f.wrong(key, `is ${value}, must be between 1 and ${most}`)
  return value
}

function limits(f: Fields): Readonly<Record<string, number>> {
  const value = f.seen('rateLimit')
  if (value === undefined) return {}
  if (typeof value !== 'object' || value === null) {
    f.wrong('rateLimit', 'must be an object of calls per minute')
    return {}
  }
  const entries = Object.entries(value)
  for (const [api, n] of entries) if (typeof n !== 'number' || n < 1) f.wrong(`rateLimit.${api}`, 'must be a number from 1')
  return Object.fromEntries(entries)
}

export interface Secret {
  readonly accessKey: string
  readonly accessSecret: string
  readonly credentialPath: string
}

/** ctrl-secret.yaml. Its values never appear in errors. */
export function parseSecret(text: string): Secret {
  let json: unknown
  try {
    json = parse(text)
  } catch {
    throw new AppError('bad-config', 'ctrl-secret.yaml is not YAML')
  }
  const fields = typeof json === 'object' && json !== null ? (json as Readonly<Record<string, unknown>>) : {}
  const read = (key: string) => {
    const value = fields[key] ?? ''
    if (typeof value !== 'string') throw new AppError('bad-config', `ctrl-secret.yaml: ${key} must be text`)
    return value
  }
  const secret = { accessKey: read('accessKey'), accessSecret: read('accessSecret'), credentialPath: read('credentialPath') }
  if ((secret.accessKey === '') !== (secret.accessSecret === ''))
    throw new AppError('bad-config', 'ctrl-secret.yaml: accessKey and accessSecret must be given together')
  return secret
}
