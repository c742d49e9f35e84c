// SPDX-License-Identifier: Apache-2.0
import { type Protocol, protocols } from '#cli/probe.ts'
import { AppError } from '#lib/errors.ts'
import { type Ip, tryParseIp } from '#net/ip.ts'

/** What somebody wrote as the destination of a path. */
export type Destination = Place & {
  /** As it was written. */
  readonly text: string
  /** Undefined where nothing was said. */
  readonly protocol?: Protocol
  readonly port?: number
}
type Place =
  | { readonly kind: 'address'; readonly ip: Ip }
  | { readonly kind: 'service' | 'pod'; readonly namespace: string; readonly name: string }
  | { readonly kind: 'node'; readonly name: string }
  /** A Service by its name for DNS, or a node, whose name may look the same. */
  | { readonly kind: 'name'; readonly name: string; readonly service: { readonly namespace: string; readonly name: string } }

const forms =
  'an address (10.0.0.1, 10.0.0.1:80, [fd00::1]:80), a pod (namespace/name:80), a Service (svc/namespace/name:80 or name.namespace:80), a node (node/name:80), with tcp://, udp:// or icmp:// before it if need be'
/** What URLs leave out. */
const schemes: Readonly<Record<string, { readonly protocol: Protocol; readonly port?: number }>> = {
  ...{ tcp: { protocol: 'tcp' }, udp: { protocol: 'udp' }, icmp: { protocol: 'icmp' } },
  ...{ http: { protocol: 'tcp', port: 80 }, https: { protocol: 'tcp', port: 443 } },
}

export function parseProtocol(text: string): Protocol {
  const found = protocols.find(p => p === text.toLowerCase())
  if (found === undefined) throw new AppError('bad-argument', `--protocol is ${protocols.join(', ')}, not ${text}`)
  return found
}

/** `protocol`: what an option says. */
export function parseDestination(text: string, protocol?: Protocol): Destination {
  const [, scheme, behind = ''] = /^([a-zA-Z]+):\/\/(.*)$/.exec(text) ?? [undefined, undefined, text]
  const known = scheme === undefined ? undefined : schemes[scheme.toLowerCase()]
  if (scheme !== undefined && known === undefined) throw bad(text, `nothing is known of ${scheme}://; name it as ${forms}`)
  if (protocol !== undefined && known !== undefined && known.protocol !== protocol)
    throw bad(text, `it says ${known.protocol}, and --protocol says ${protocol}: leave one of them out`)
  const rest = known?.port === undefined ? behind.replace(/\/$/, '') : behind.replace(/\/.*$/, '')
  const wanted = protocol ?? known?.protocol
  const { host, port = known?.port } = splitPort(text, rest)
  if (wanted === 'icmp' && port !== undefined) throw bad(text, 'ICMP has no ports: leave the port out')
  return { text, ...placeOf(text, host), ...(wanted && { protocol: wanted }), ...(port !== undefined && { port }) }
}

/** A plain IPv6 address has colons of its own. */
function splitPort(text: string, rest: string): { readonly host: string; readonly port?: number } {
  if (tryParseIp(rest) !== undefined) return { host: rest }
  const [, bracketed, plain = '', digits] = /^(?:\[([^\]]*)\]|([^:]*))(?::(.*))?$/.exec(rest) ?? []
  const host = bracketed ?? plain
  if (host === '') throw bad(text, `name it as ${forms}`)
  if (digits === undefined) return { host }
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : 0
  if (port === 0 || port > 65_535) throw bad(text, `${digits === '' ? 'nothing' : digits} is no port: 1 to 65535 are`)
  return { host, port }
}

function placeOf(text: string, host: string): Place {
  const ip = tryParseIp(host)
  if (ip !== undefined) return { kind: 'address', ip }
  if (/^[0-9.]+$/.test(host) || /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.test(host)) throw bad(text, `${host} is no address`)
  const parts = host.split('/')
  if (parts.some(p => !/^[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?$/.test(p))) throw bad(text, `name it as ${forms}`)
  const [first = '', second = '', third = ''] = parts
  if (parts.length === 3 && ['svc', 'service'].includes(first)) return { kind: 'service', namespace: second, name: third }
  if (parts.length === 3 && first === 'pod') return { kind: 'pod', namespace: second, name: third }
  if (parts.length === 2 && first === 'node') return { kind: 'node', name: second }
  if (parts.length === 2 && ['svc', 'service', 'pod'].includes(first)) throw bad(text, `it has no namespace: ${first}/namespace/${second}`)
  if (parts.length === 2) return { kind: 'pod', namespace: first, name: second }
  if (parts.length > 2) throw bad(text, `name it as ${forms}`)
  const [name = '', namespace = ''] = host.split('.')
  // A label of its own: it can be no Service of a namespace.
  if (namespace === '') return { kind: 'node', name }
  return { kind: 'name', name: host, service: { namespace, name } }
}

function bad(text: string, why: string): AppError {
  return new AppError('bad-argument', `the destination ${JSON.stringify(text)}: ${why}`)
}

/** `namespace/name`; the whole of it is said in the error. */
export function parsePod(text: string): { readonly namespace: string; readonly name: string } {
  const [namespace = '', name = '', ...more] = text.replace(/^pod\/(?=[^/]+\/)/, '').split('/')
  if (namespace === '' || name === '' || more.length > 0)
    throw new AppError(
      'bad-argument',
      `the pod ${JSON.stringify(text)}: name it as namespace/name, as default/${name || namespace || 'web-0'}`,
    )
  return { namespace, name }
}
