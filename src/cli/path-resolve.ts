// SPDX-License-Identifier: Apache-2.0
import type { CliDeps } from '#cli/deps.ts'
import type { PodNames } from '#cli/node-view.ts'
import type { Destination } from '#cli/path-destination.ts'
import { type Protocol, protocols } from '#cli/probe.ts'
import type { ServiceView } from '#compile/service/view.ts'
import { AppError, messageOf } from '#lib/errors.ts'
import { type Family, familyOf, type Ip, tryParseIp, tryParseIpPort } from '#net/ip.ts'

/** Where a destination is. */
export interface Resolved {
  readonly ip: Ip
  readonly port?: number
  readonly protocol?: Protocol
}

/** An address of a Service, and what it serves there. */
export interface Frontend {
  readonly ip: Ip
  readonly port: number
  readonly protocol: Protocol
}

/** The families that the pod has, the one that is wished for first. */
type Families = readonly Family[]

/** Throws AppError `bad-argument` or `no-destination`, with what there is instead. */
export async function resolve(deps: CliDeps, d: Destination, pods: PodNames, families: Families): Promise<Resolved> {
  const given = { ...(d.port !== undefined && { port: d.port }), ...(d.protocol !== undefined && { protocol: d.protocol }) }
  switch (d.kind) {
    case 'address':
      return { ip: ofFamily(d, [d.ip], families), ...given }
    case 'pod':
      return { ip: ofFamily(d, await addressesOfPod(deps, d, pods), families), ...given }
    case 'node':
      return {
        ip: ofFamily(d, (await addressesOfNode(deps, d.name)) ?? missing(d, `the API server has no node ${d.name}`), families),
        ...given,
      }
    case 'service':
      return pick(d, (await frontendsOf(deps, d)) ?? missing(d, `nobody knows a Service ${d.namespace}/${d.name}`), families)
    case 'name': {
      const frontends = await frontendsOf(deps, d.service)
      if (frontends !== undefined) return pick(d, frontends, families)
      const { namespace, name } = d.service
      const node = await addressesOfNode(deps, d.name).catch(() => undefined)
      return {
        ip: ofFamily(d, node ?? missing(d, `nobody knows a Service ${namespace}/${name}, nor a node ${d.name}`), families),
        ...given,
      }
    }
  }
}

/** One frontend, or why there is not exactly one. */
export function pick(d: Pick<Destination, 'text' | 'port' | 'protocol'>, all: readonly Frontend[], families: Families): Resolved {
  if (all.length === 0)
    missing(d, 'this Service has no address of its own (it is headless, or a name for another one): name one of its pods')
  const listed = [...new Set(all.map(f => `${f.port}/${f.protocol.toUpperCase()}`))].join(', ')
  if (d.protocol === 'icmp')
    return {
      ip: ofFamily(
        d,
        all.map(f => f.ip),
        families,
      ),
      protocol: 'icmp',
    }
  const fitting = all.filter(f => (d.port === undefined || f.port === d.port) && (d.protocol === undefined || f.protocol === d.protocol))
  if (fitting.length === 0) missing(d, `this Service has no such port, but ${listed}`)
  // TCP goes before UDP on the same port, as where nothing is known.
  const [first] = fitting.toSorted((a, b) => protocols.indexOf(a.protocol) - protocols.indexOf(b.protocol))
  if (new Set(fitting.map(f => f.port)).size > 1 || first === undefined)
    throw new AppError('bad-argument', `the destination ${JSON.stringify(d.text)}: this Service has ${listed}: say which port`)
  const same = fitting.filter(f => f.protocol === first.protocol)
  return {
    ip: ofFamily(
      d,
      same.map(f => f.ip),
      families,
    ),
    port: first.port,
    protocol: first.protocol,
  }
}

function ofFamily(d: Pick<Destination, 'text'>, ips: readonly Ip[], families: Families): Ip {
  const found = families.flatMap(family => ips.find(ip => familyOf(ip) === family) ?? [])[0]
  return (
    found ?? missing(d, `it has ${ips.join(' and ') || 'no address'}, and the pod has IPv${families.toSorted().join(' and IPv')} alone`)
  )
}

async function addressesOfPod(deps: CliDeps, d: Destination & { kind: 'pod' | 'service' }, pods: PodNames): Promise<readonly Ip[]> {
  const name = `${d.namespace}/${d.name}`
  const here = [...pods].flatMap(([ip, pod]) => (pod === name ? [ip] : []))
  const place = here.length > 0 ? undefined : await asked(d, () => deps.findPod(d.namespace, d.name))
  if (here.length === 0 && place === undefined)
    missing(d, `the API server has no pod ${name} (a Service is svc/${name}, a node node/${d.name})`)
  return addresses(here.length > 0 ? here : (place?.ips ?? []))
}

async function addressesOfNode(deps: CliDeps, name: string): Promise<readonly Ip[] | undefined> {
  const found = await asked({ text: name }, () => deps.findNode(name))
  return found && addresses(found)
}

/** As terway-policy of this node has it, else as the API server has. Undefined: neither knows it. */
async function frontendsOf(deps: CliDeps, { namespace, name }: { readonly namespace: string; readonly name: string }) {
  const query = new URLSearchParams({ namespace, name })
  const answer = (await deps.policy(`/services?${query}`).catch(() => undefined)) as
    | { readonly services: readonly ServiceView[] }
    | undefined
  const served = answer?.services.find(s => s.namespace === namespace && s.name === name)
  if (served !== undefined) return served.frontends.flatMap(f => (f.kind === 'ClusterIP' ? frontend(f.address) : []))
  const place = await asked({ text: `${namespace}/${name}` }, () => deps.findService(namespace, name))
  return place?.flatMap(frontend)
}

/** `10.96.0.10:80/TCP`; none of another protocol. */
function frontend(text: string): readonly Frontend[] {
  const at = text.lastIndexOf('/')
  const place = tryParseIpPort(text.slice(0, at))
  const protocol = protocols.find(p => p === text.slice(at + 1).toLowerCase())
  return place === undefined || protocol === undefined ? [] : [{ ...place, protocol }]
}

async function asked<T>(d: Pick<Destination, 'text'>, fn: () => Promise<T>): Promise<T> {
  try {
    return await fn()
  } catch (e) {
    throw new AppError(
      'no-destination',
      `the destination ${JSON.stringify(d.text)}: the API server cannot be asked (name an address instead): ${messageOf(e)}`,
    )
  }
}

function addresses(texts: readonly string[]): readonly Ip[] {
  return texts.flatMap(text => tryParseIp(text) ?? [])
}

function missing(d: Pick<Destination, 'text'>, why: string): never {
  throw new AppError('no-destination', `the destination ${JSON.stringify(d.text)}: ${why}`)
}
