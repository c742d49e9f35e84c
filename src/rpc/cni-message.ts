// SPDX-License-Identifier: Apache-2.0
import { isIP } from 'node:net'
import { type CniCode, cniError } from '#rpc/cni-error.ts'

/** What the plugin speaks; 1.1.0 adds GC and STATUS. */
export const cniVersions = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const
export type CniVersion = (typeof cniVersions)[number]

/** From CNI_ARGS; other arguments are ignored, as IgnoreUnknown asks. */
export interface PodArgs {
  readonly namespace: string
  readonly name: string
  /** K8S_POD_UID: containerd sends it, older runtimes do not. */
  readonly uid?: string
}

/** The members of the network configuration that a verb needs. */
export interface CniConfig {
  readonly cniVersion: CniVersion
  readonly name: string
  readonly mtu?: number
  /** runtimeConfig.bandwidth, converted from bits to bytes per second. */
  readonly ingressBytesPerSecond?: number
  readonly egressBytesPerSecond?: number
  /** The entry of ours that comes once more, behind plugins that may have changed the pod's interface. */
  readonly again?: true
}

export interface ResultInterface {
  readonly name: string
  readonly mac: string
  /** Path of the namespace; empty for an interface of the host. */
  readonly sandbox: string
  readonly mtu?: number
}

/** The result of ADD in the form of 1.1.0; `interface` is an index into interfaces. */
export interface CniResult {
  readonly interfaces: readonly ResultInterface[]
  readonly ips: readonly { readonly address: string; readonly gateway: string; readonly interface: number }[]
}

/** The result of the plugins before ours in the chain, in the version of the configuration: passed on as it came, before ours. */
export interface ChainedResult {
  readonly interfaces: readonly Json[]
  readonly ips: readonly Json[]
  readonly routes: readonly Json[]
  readonly dns: Json
}

/** What CHECK compares: names, sandboxes and addresses of an earlier result. */
export interface PreviousResult {
  readonly interfaces: readonly { readonly name: string; readonly mac?: string; readonly sandbox?: string }[]
  /** Addresses without their mask. */
  readonly ips: readonly string[]
}

interface Sandbox {
  readonly containerId: string
  readonly ifName: string
  readonly config: CniConfig
}
export type AddRequest = Sandbox & {
  readonly verb: 'ADD'
  readonly netns: string
  readonly pod: PodArgs
  readonly previous?: ChainedResult
}
export type DelRequest = Sandbox & { readonly verb: 'DEL' }
export type CheckRequest = Sandbox & { readonly verb: 'CHECK'; readonly netns: string; readonly previous: PreviousResult }
export type StatusRequest = { readonly verb: 'STATUS'; readonly config: CniConfig }
export type GcRequest = {
  readonly verb: 'GC'
  readonly config: CniConfig
  readonly valid: readonly { readonly containerId: string; readonly ifName: string }[]
}
export type CniRequest = AddRequest | DelRequest | CheckRequest | StatusRequest | GcRequest

/** Environment and standard input of one shim, before either has been looked at. */
export interface RawRequest {
  readonly env: Readonly<Record<string, string>>
  readonly stdin: string
}

type Json = Readonly<Record<string, unknown>>

/** Splits `NAME=value NUL … NUL rest`. Throws `bad-content` when the frame has no end of environment. */
export function splitFrame(frame: Buffer): RawRequest {
  const env: Record<string, string> = {}
  for (let at = 0; at < frame.length; ) {
    const end = frame.indexOf(0, at)
    if (end < 0) break
    if (end === at) return { env, stdin: frame.toString('utf8', end + 1) }
    const entry = frame.toString('utf8', at, end)
    const equals = entry.indexOf('=')
    if (equals > 0) env[entry.slice(0, equals)] = entry.slice(equals + 1)
    at = end + 1
  }
  throw cniError('bad-content', 'request: the environment is not ended by an empty entry')
}

/** The configuration's version as far as it can be told, for labelling an error; 1.0.0 otherwise. */
export function versionForErrors(stdin: string): string {
  try {
    const version = (JSON.parse(stdin) as Json | null)?.cniVersion
    return typeof version === 'string' && /^[0-9a-z.-]{1,32}$/.test(version) ? version : '1.0.0'
  } catch {
    return '1.0.0'
  }
}

/** Reads one request. Throws AppError<CniCode> whose message begins with the name of the variable or member at fault. */
export function parseRequest(raw: RawRequest): CniRequest {
  const verb = raw.env.CNI_COMMAND ?? ''
  const json = parseStdin(raw.stdin)
  const config = parseConfig(json)
  switch (verb) {
    case 'ADD':
      return { verb, ...sandbox(raw.env, config), netns: netns(raw.env), pod: podArgs(raw.env), ...chained(json) }
    case 'DEL':
      return { verb, ...sandbox(raw.env, config) }
    case 'CHECK':
      atLeast(config, '0.4.0', verb)
      return { verb, ...sandbox(raw.env, config), netns: netns(raw.env), previous: previousResult(json) }
    case 'STATUS':
      atLeast(config, '1.1.0', verb)
      return { verb, config }
    case 'GC':
      atLeast(config, '1.1.0', verb)
      return { verb, config, valid: validAttachments(json) }
    default:
      throw cniError('bad-environment', `CNI_COMMAND: ${JSON.stringify(verb)} is none of ADD, DEL, CHECK, GC, STATUS, VERSION`)
  }
}

/**
 * The result as the asked version of the specification writes it (golden texts in cni-message.test.ts), after that of the
 * plugins before ours.
 */
export function formatResult(version: CniVersion, r: CniResult, before?: ChainedResult): Json {
  const old = version !== '1.0.0' && version !== '1.1.0'
  const interfaces = r.interfaces.map(({ name, mac, sandbox, mtu }) => ({
    name,
    mac,
    ...(sandbox === '' ? {} : { sandbox }),
    ...(version === '1.1.0' && mtu !== undefined ? { mtu } : {}),
  }))
  const ips = r.ips.map(ip => ({
    ...(old ? { version: ip.address.includes(':') ? '6' : '4' } : {}),
    interface: ip.interface + (before?.interfaces.length ?? 0),
    address: ip.address,
    gateway: ip.gateway,
  }))
  return {
    cniVersion: version,
    interfaces: [...(before?.interfaces ?? []), ...interfaces],
    ips: [...(before?.ips ?? []), ...ips],
    ...(before === undefined || before.routes.length === 0 ? {} : { routes: before.routes }),
    dns: before?.dns ?? {},
  }
}

function parseStdin(stdin: string): Json {
  let json: unknown
  try {
    json = JSON.parse(stdin)
  } catch (e) {
    throw cniError('bad-content', 'standard input: the network configuration is not JSON', e)
  }
  if (!isObject(json)) throw cniError('bad-content', 'standard input: the network configuration is not a JSON object')
  return json
}

function parseConfig(json: Json): CniConfig {
  const version = cniVersions.find(v => v === json.cniVersion)
  if (version === undefined) {
    throw cniError('incompatible-version', `cniVersion: ${show(json.cniVersion)} is not supported; use one of ${cniVersions.join(', ')}`)
  }
  const { name, mtu, ipam } = json
  if (typeof name !== 'string' || name === '') throw cniError('bad-config', `name: ${show(name)} is not a network name`)
  if (isObject(ipam) && Object.keys(ipam).length > 0) {
    throw cniError('unsupported-field', `ipam: ${show(ipam)}: addresses come from the VPC, remove this member`)
  }
  if (mtu !== undefined && !(typeof mtu === 'number' && Number.isInteger(mtu) && mtu >= 576 && mtu <= 65535)) {
    throw cniError('bad-config', `mtu: ${show(mtu)} is not a whole number between 576 and 65535`)
  }
  const ingress = rate(json, 'ingressRate')
  const egress = rate(json, 'egressRate')
  return {
    cniVersion: version,
    name,
    ...(mtu === undefined ? {} : { mtu }),
    ...(ingress === undefined ? {} : { ingressBytesPerSecond: ingress }),
    ...(egress === undefined ? {} : { egressBytesPerSecond: egress }),
    ...(json.again === true ? { again: true } : {}),
  }
}

/** Bits per second of runtimeConfig.bandwidth as bytes per second; 0 and absence mean no limit. */
function rate(json: Json, key: string): number | undefined {
  const runtime = json.runtimeConfig
  const bandwidth = isObject(runtime) ? runtime.bandwidth : undefined
  const bits = isObject(bandwidth) ? bandwidth[key] : undefined
  if (bits === undefined || bits === 0) return undefined
  if (typeof bits !== 'number' || !Number.isSafeInteger(bits) || bits < 8) {
    throw cniError('bad-config', `runtimeConfig.bandwidth.${key}: ${show(bits)} is not a number of bits per second`)
  }
  return Math.floor(bits / 8)
}

function sandbox(env: RawRequest['env'], config: CniConfig): Sandbox {
  return { containerId: containerId(required(env, 'CNI_CONTAINERID')), ifName: ifName(required(env, 'CNI_IFNAME')), config }
}

function required(env: RawRequest['env'], name: string): string {
  const value = env[name]
  if (value === undefined || value === '') throw cniError('bad-environment', `${name}: not set`)
  return value
}

function containerId(id: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,255}$/.test(id)) return id
  throw cniError('bad-environment', `CNI_CONTAINERID: ${show(id)} is not letters, digits, '_', '.', '-' beginning with a letter or digit`)
}

function ifName(name: string): string {
  if (Buffer.byteLength(name) > 15) throw cniError('bad-environment', `CNI_IFNAME: ${show(name)} is over 15 bytes`)
  if (name === '.' || name === '..' || /[/:\s\p{Cc}]/u.test(name)) {
    throw cniError('bad-environment', `CNI_IFNAME: ${show(name)} is not an interface name`)
  }
  return name
}

function netns(env: RawRequest['env']): string {
  const path = required(env, 'CNI_NETNS')
  if (path.startsWith('/') && path.length < 4096 && !path.split('/').includes('..')) return path
  throw cniError('bad-environment', `CNI_NETNS: ${show(path)} is not an absolute path`)
}

function podArgs(env: RawRequest['env']): PodArgs {
  const args = new Map((env.CNI_ARGS ?? '').split(';').map(pair => split(pair)))
  const need = (name: string) => {
    const value = args.get(name)
    if (value === undefined || !/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(value)) {
      throw cniError(
        'bad-environment',
        `CNI_ARGS: ${name} ${value === undefined ? 'is missing' : `${show(value)} is not a Kubernetes name`}`,
      )
    }
    return value
  }
  const uid = args.get('K8S_POD_UID') ?? ''
  return { namespace: need('K8S_POD_NAMESPACE'), name: need('K8S_POD_NAME'), ...(uid === '' ? {} : { uid }) }
}

function split(pair: string): [string, string] {
  const equals = pair.indexOf('=')
  return equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)]
}

function chained(json: Json): { readonly previous?: ChainedResult } {
  if (json.prevResult === undefined || json.prevResult === null) return {}
  const previous = object(json.prevResult, 'prevResult')
  const objects = (key: string) => list(previous[key], `prevResult.${key}`).map((item, i) => object(item, `prevResult.${key}[${i}]`))
  const dns = object(previous.dns ?? {}, 'prevResult.dns')
  return { previous: { interfaces: objects('interfaces'), ips: objects('ips'), routes: objects('routes'), dns } }
}

function previousResult(json: Json): PreviousResult {
  const previous = json.prevResult
  if (!isObject(previous)) throw cniError('bad-config', 'prevResult: CHECK needs the result of ADD')
  const interfaces = list(previous.interfaces, 'prevResult.interfaces').map((item, i) => {
    const at = `prevResult.interfaces[${i}]`
    const { name, mac, sandbox: path } = object(item, at)
    if (typeof name !== 'string') throw cniError('bad-config', `${at}.name: ${show(name)} is not text`)
    return { name, ...(typeof mac === 'string' ? { mac } : {}), ...(typeof path === 'string' ? { sandbox: path } : {}) }
  })
  const ips = list(previous.ips, 'prevResult.ips').map((item, i) => {
    const { address } = object(item, `prevResult.ips[${i}]`)
    const [ip = ''] = typeof address === 'string' ? address.split('/') : []
    if (isIP(ip) === 0) throw cniError('bad-config', `prevResult.ips[${i}].address: ${show(address)} is not an address`)
    return ip
  })
  return { interfaces, ips }
}

/** An absent list is an error, never "none is valid": GC would then remove every pod. */
function validAttachments(json: Json): GcRequest['valid'] {
  const key = 'cni.dev/valid-attachments'
  if (!Array.isArray(json[key])) throw cniError('bad-config', `${key}: ${show(json[key])} is not a list`)
  return list(json[key], key).map((item, i) => {
    const at = `${key}[${i}]`
    const { containerID, ifname } = object(item, at)
    if (typeof containerID !== 'string' || containerID === '')
      throw cniError('bad-config', `${at}.containerID: ${show(containerID)} is not text`)
    if (typeof ifname !== 'string' || ifname === '') throw cniError('bad-config', `${at}.ifname: ${show(ifname)} is not text`)
    return { containerId: containerID, ifName: ifname }
  })
}

function atLeast(config: CniConfig, version: CniVersion, verb: string): void {
  if (cniVersions.indexOf(config.cniVersion) >= cniVersions.indexOf(version)) return
  throw cniError('incompatible-version', `cniVersion: ${verb} needs ${version}, the configuration says ${config.cniVersion}`)
}

function list(value: unknown, at: string, code: CniCode = 'bad-config'): readonly unknown[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw cniError(code, `${at}: not a list`)
  return value
}

function object(value: unknown, at: string): Json {
  if (!isObject(value)) throw cniError('bad-config', `${at}: not an object`)
  return value
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A value in an error message, short: what came over the wire may be large. */
function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 77)}…` : text
}
