// SPDX-License-Identifier: Apache-2.0
import { flowsIn, withKernel } from '#cli/ct.ts'
import type { FlowRow } from '#cli/ct-rows.ts'
import type { CliDeps } from '#cli/deps.ts'
import { type PodNames, podNames } from '#cli/node-view.ts'
import { type Output, print } from '#cli/output.ts'
import { counts, difference, endsOf, lookAt, netnsOf } from '#cli/path-look.ts'
import { type PathFound, stepLines } from '#cli/path-steps.ts'
import type { ProbeFrom } from '#cli/probe.ts'
import type { ServiceView } from '#compile/service/view.ts'
import { AppError } from '#lib/errors.ts'
import { familyOf, type Ip, tryParseIp, withPort } from '#net/ip.ts'

export interface PathWish {
  /** namespace/name */
  readonly pod: string
  /** Address, or address and port. */
  readonly destination: string
  /** Tries a connection first. */
  readonly probe: ProbeFrom | undefined
}

/** Which way a pod's packets to a destination take: what the programs know of its flows there, and count meanwhile. */
export async function path(deps: CliDeps, socket: string, wish: PathWish, output: Output): Promise<void> {
  const { ip, port } = parseDestination(wish.destination)
  if (wish.probe !== undefined && port === undefined) throw new AppError('bad-argument', '--probe needs a port: address:port')
  const pods = await podNames(deps, socket)
  const address = addressOf(pods, wish.pod, ip)
  const found = await withKernel(deps, async kernel => {
    const host = await lookAt(kernel, address)
    const before = await counts(kernel)
    const attempt = wish.probe && port !== undefined ? await wish.probe(netnsOf(host, wish.pod), ip, port) : undefined
    const counted = difference(before, await counts(kernel))
    const flows = flowsTo(await flowsIn(kernel, pods), address, ip, port, attempt?.localPort)
    return { ...(await endsOf(kernel, host, address, flows.flow?.remote ?? ip, pods)), ...flows, counted, ...(attempt && { attempt }) }
  })
  const service = await serviceOf(deps, ip, port)
  const whole: PathFound = {
    ...{ pod: wish.pod, address, destination: ip, ...found },
    ...(port !== undefined && { port }),
    ...(service !== undefined && { service }),
  }
  print(deps, output, whole, stepLines)
}

export function parseDestination(text: string): { readonly ip: Ip; readonly port?: number } {
  const plain = tryParseIp(text)
  if (plain !== undefined) return { ip: plain }
  const [, v6, v4, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text) ?? []
  const [ip, port] = [tryParseIp(v6 ?? v4 ?? ''), Number(digits)]
  if (ip !== undefined && port > 0 && port < 65_536) return { ip, port }
  throw new AppError('bad-argument', `name the destination as address or address:port ([address]:port with IPv6), not ${text}`)
}

/** The choice of a pod and the way itself, of its newest connection there. */
export function flowsTo(
  all: readonly FlowRow[],
  address: string,
  ip: string,
  port: number | undefined,
  localPort: number | undefined,
): Pick<PathFound, 'choice' | 'flow'> {
  const isThere = (r: FlowRow) =>
    (r.remote === ip && (port === undefined || r.remotePort === port)) ||
    (port === undefined ? r.frontend?.startsWith(withPort(ip, 0).slice(0, -1)) : r.frontend === withPort(ip, port)) === true
  const rows = all
    .filter(r => r.local === address && r.began === 'local' && !r.outdated && isThere(r))
    .filter(r => localPort === undefined || r.localPort === localPort)
    .toSorted((a, b) => a.idleSeconds - b.idleSeconds)
  const ours = rows.filter(r => r.localPort === rows[0]?.localPort && r.protocol === rows[0].protocol)
  const [choice, flow] = [ours.find(r => r.kind === 'choice'), ours.find(r => r.kind === 'pod')]
  return { ...(choice && { choice }), ...(flow && { flow }) }
}

function addressOf(pods: PodNames, pod: string, destination: Ip): Ip {
  const own = [...pods].flatMap(([ip, name]) => (name === pod ? (tryParseIp(ip) ?? []) : []))
  const family = familyOf(destination)
  const why = own.length === 0 ? `no pod ${pod} is known on this node (terway-cli why ${pod})` : `${pod} has no IPv${family} address`
  const found = own.find(ip => familyOf(ip) === family)
  if (found === undefined) throw new AppError('no-pod', why)
  return found
}

/** Undefined also where nobody can be asked: kube-proxy knows it then. */
async function serviceOf(deps: CliDeps, ip: Ip, port: number | undefined): Promise<string | undefined> {
  const answer = (await deps.policy('/services').catch(() => undefined)) as { readonly services: readonly ServiceView[] } | undefined
  const is = (address: string) =>
    port === undefined ? address.startsWith(withPort(ip, 0).slice(0, -1)) : address.startsWith(withPort(ip, port))
  const found = answer?.services.find(s => s.frontends.some(f => is(f.address)))
  return found && `${found.namespace}/${found.name}`
}
