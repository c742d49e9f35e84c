// SPDX-License-Identifier: Apache-2.0
import { Fields } from '#config/fields.ts'
import { readIdleKeys } from '#config/idle-keys.ts'
import { readStack } from '#config/ip-stack.ts'
import { type KubeProxyKeys, readKubeProxyKeys } from '#config/kube-proxy.ts'
import { readServiceCidrs, type ServiceCidrs } from '#config/service-cidr.ts'
import { parseDuration } from '#lib/duration.ts'
import { AppError } from '#lib/errors.ts'
import type { Cidr } from '#net/cidr.ts'
import type { Stack } from '#net/stack.ts'

export type ConfigCode = 'bad-config'

/** `eni_conf` of the ConfigMap eni-config, as the shared mode with central IPAM uses it. Keys and defaults are Terway's, but for `KubeProxyKeys`. */
export interface EniConf extends ServiceCidrs, KubeProxyKeys {
  readonly ipStack: Stack
  /** Zone to vSwitches. */
  readonly vswitches: Readonly<Record<string, readonly string[]>>
  /** `security_group` and `security_groups` together, sorted, at most 10. */
  readonly securityGroups: readonly string[]
  readonly eniTags: Readonly<Record<string, string>>
  readonly eniTagFilter?: Readonly<Record<string, string>>
  readonly eniTagBlockList: readonly { readonly key: string; readonly value: string }[]
  readonly resourceGroupId?: string
  readonly maxPoolSize: number
  readonly minPoolSize: number
  readonly ipWarmUpSize?: number
  /** Go durations, as text; absent = the controller's default. */
  readonly ipPoolSyncPeriod?: string
  readonly reclaim?: { readonly after: string; readonly interval: string; readonly batchSize: number; readonly jitterFactor: string }
  /** `ordered` in eni_conf means "most free addresses first"; every other value is random. */
  readonly vswitchSelectionPolicy: 'most' | 'random'
  readonly extraRoutes: readonly Cidr[]
}

export interface ParsedConf {
  readonly conf: EniConf
  /** Keys that nobody knows: reported, otherwise without effect, as with Terway. */
  readonly unknownKeys: readonly string[]
  /** Keys that Terway knows, that are set, and that change nothing here: reported, since their writer expects something. */
  readonly idleKeys: readonly string[]
}

/** Built into Terway: ENIs with these tags stay in the CR but take no pods. */
const builtInBlockList = [
  { key: 'creator', value: 'alibabacloud-erdma-controller' },
  { key: 'terway.alibabacloud.com/excluded', value: 'true' },
]

/** Reads the whole text; throws `bad-config` naming every wrong field at once, and then nothing of it is used. */
export function parseEniConf(text: string): ParsedConf {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (e) {
    throw new AppError<ConfigCode>('bad-config', 'eni_conf is not JSON', { cause: e })
  }
  return readEniConf(json)
}

/** The same for a value that has been merged already. */
export function readEniConf(json: unknown): ParsedConf {
  const f = new Fields('eni_conf', json)
  refuseUnbuilt(f)
  const groups = [...new Set([...[f.text('security_group', '')].filter(g => g !== ''), ...f.names('security_groups')])].sort()
  if (groups.length > 10)
    f.wrong('security_groups', `names ${groups.length} security groups together with security_group, at most 10 are allowed`)
  const maxPoolSize = f.count('max_pool_size', 0)
  const minPoolSize = Math.min(f.count('min_pool_size', 0), maxPoolSize)
  const filter = f.textMap('eni_tag_filter')
  const optional = {
    ...readServiceCidrs(f, 'service_cidr'),
    ...readKubeProxyKeys(f),
    ...(Object.keys(filter).length > 0 ? { eniTagFilter: filter } : {}),
    ...present('resourceGroupId', f.text('resource_group_id', '') || undefined),
    ...present('ipWarmUpSize', f.has('ip_warm_up_size') ? f.count('ip_warm_up_size', 0) : undefined),
    ...present('ipPoolSyncPeriod', durationText(f, 'ip_pool_sync_period', undefined, true)),
    ...present('reclaim', reclaim(f)),
  }
  const conf: EniConf = {
    ...optional,
    ipStack: readStack(f, 'ip_stack'),
    vswitches: f.nameLists('vswitches'),
    securityGroups: groups,
    eniTags: { ...f.textMap('eni_tags'), creator: 'terway' },
    eniTagBlockList: blockList(f),
    maxPoolSize,
    minPoolSize,
    vswitchSelectionPolicy: f.text('vswitch_selection_policy', 'random') === 'ordered' ? 'most' : 'random',
    extraRoutes: f.objects('extra_routes').flatMap((route, i) => f.cidr(`extra_routes[${i}].dst`, route.dst)),
  }
  f.text('version', '')
  const idleKeys = readIdleKeys(f)
  f.throwIfWrong()
  return { conf, unknownKeys: f.unread(), idleKeys }
}

/** Keys that Terway knows and whose other values would change what a pod gets: silence would be worse than a refusal. */
function refuseUnbuilt(f: Fields): void {
  const only = <T>(key: string, allowed: T, value: T, why: string) => {
    if (value !== allowed) f.wrong(key, `is ${JSON.stringify(value)}: ${why}`)
  }
  only('ipam_type', 'crd', f.text('ipam_type', ''), 'only "crd" is supported, where the controller alone talks to the cloud')
  only('enable_eni_trunking', false, f.flag('enable_eni_trunking', false), 'trunk ENIs are not supported')
  only('enable_ip_prefix', false, f.flag('enable_ip_prefix', false), 'prefix delegation is not supported')
  only('enable_erdma', false, f.flag('enable_erdma', false), 'elastic RDMA is not supported')
}

function blockList(f: Fields): EniConf['eniTagBlockList'] {
  const own = f.objects('eni_tag_block_list').flatMap((item, i) => {
    const key = f.textOf(`eni_tag_block_list[${i}].key`, item.key)
    const value = f.textOf(`eni_tag_block_list[${i}].value`, item.value)
    return key === '' ? [] : [{ key, value }]
  })
  const all = [...builtInBlockList, ...own]
  return all.filter((a, i) => all.findIndex(b => b.key === a.key && b.value === a.value) === i)
}

function reclaim(f: Fields): EniConf['reclaim'] {
  const interval = durationText(f, 'idle_ip_reclaim_interval', '10m') ?? '10m'
  const batchSize = f.count('idle_ip_reclaim_batch_size', 5)
  const jitterFactor = f.text('idle_ip_reclaim_jitter_factor', '0.1')
  if (!/^[0-9]*\.?[0-9]+$/.test(jitterFactor))
    f.wrong('idle_ip_reclaim_jitter_factor', `is ${JSON.stringify(jitterFactor)}, must be a number as text`)
  const after = durationText(f, 'idle_ip_reclaim_after', undefined)
  return after === undefined ? undefined : { after, interval, batchSize, jitterFactor }
}

function durationText(f: Fields, key: string, fallback: string | undefined, positive = false): string | undefined {
  const value = f.text(key, '')
  if (value === '') return fallback
  try {
    if (parseDuration(value) === 0 && positive) f.wrong(key, `is ${JSON.stringify(value)}, must be over 0`)
  } catch {
    f.wrong(key, `is ${JSON.stringify(value)}, must be a duration such as 2m or 1h30m`)
  }
  return value
}

function present<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]?: V })
}
