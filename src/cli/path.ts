// SPDX-License-Identifier: Apache-2.0
import { flowsIn, withKernel } from '#cli/ct.ts'
import type { FlowRow } from '#cli/ct-rows.ts'
import type { CliDeps } from '#cli/deps.ts'
import { ownEnis, type PodNames, podNames } from '#cli/node-view.ts'
import { type Output, print } from '#cli/output.ts'
import { type Destination, parseDestination, parsePod } from '#cli/path-destination.ts'
import { counts, difference, endsOf, lookAt, netnsOf } from '#cli/path-look.ts'
import { type Resolved, resolve } from '#cli/path-resolve.ts'
import { type PathFound, stepLines } from '#cli/path-steps.ts'
import { seenIn, watched } from '#cli/path-watch.ts'
import type { Attempt, ProbeFrom, Protocol } from '#cli/probe.ts'
import { locate } from '#cli/why.ts'
import type { ServiceView } from '#compile/service/view.ts'
import type { Kernel } from '#kernel/port.ts'
import type { NsState } from '#kernel/state.ts'
import { AppError } from '#lib/errors.ts'
import { type Family, familyOf, type Ip, tryParseIp, withPort } from '#net/ip.ts'

export interface PathWish {
  /** namespace/name */
  readonly pod: string
  /** In any of the forms of `path-destination.ts`. */
  readonly destination: string
  readonly protocol?: Protocol
  /** Of names with addresses of both families. */
  readonly ipv6?: boolean
  /** Tries a connection first. */
  readonly probe: ProbeFrom | undefined
}

/** Which way a pod's packets to a destination take: what the programs know of its flows there, and tell of what it sends meanwhile. */
export async function path(deps: CliDeps, socket: string, wish: PathWish, output: Output): Promise<void> {
  const destination = parseDestination(wish.destination, wish.protocol)
  const pods = await podNames(deps, socket)
  const own = await addressesOf(deps, pods, wish)
  const to = await resolve(deps, destination, pods, familiesOf(own, wish.ipv6 === true))
  const address = own.find(ip => familyOf(ip) === familyOf(to.ip)) ?? to.ip
  const probe = wish.probe && { from: wish.probe, to: probed(destination, to) }
  const found = await withKernel(deps, async kernel => {
    const host = await lookAt(kernel, address)
    const tried = probe && (await tryIt(deps, kernel, host, { address, pod: wish.pod, ...probe }))
    const flows = flowsTo(await flowsIn(kernel, pods), address, { ...to, ...tried?.asked }, tried?.attempt.localPort)
    return { ...(await endsOf(kernel, host, address, flows.flow?.remote ?? to.ip, pods)), ...flows, counted: {}, ...tried?.found }
  })
  const [service, ownEni] = [await serviceOf(deps, to), (await ownEnis(deps, socket)).get(address)]
  const protocol = probe?.to.protocol ?? to.protocol
  const whole: PathFound = {
    ...{ pod: wish.pod, address, destination: to.ip, ...found },
    ...(destination.kind !== 'address' && { named: destination.text }),
    ...(to.port !== undefined && { port: to.port }),
    ...(protocol !== undefined && { protocol }),
    ...(service !== undefined && { service }),
    ...(ownEni !== undefined && { ownEni }),
  }
  print(deps, output, whole, stepLines)
}

/** Of the pod on this node. Throws `no-pod`, with where it is. */
async function addressesOf(deps: CliDeps, pods: PodNames, wish: PathWish): Promise<readonly Ip[]> {
  const { namespace, name } = parsePod(wish.pod)
  const own = [...pods].flatMap(([ip, pod]) => (pod === `${namespace}/${name}` ? (tryParseIp(ip) ?? []) : []))
  if (own.length > 0) return own
  const where = await locate(deps, namespace, name, `path ${wish.pod} ${wish.destination}`)
  throw new AppError('no-pod', [`no pod ${namespace}/${name} is known on this node`, ...where].join('\n'))
}

function familiesOf(own: readonly Ip[], v6First: boolean): readonly Family[] {
  const wanted: readonly Family[] = v6First ? [6, 4] : [4, 6]
  return wanted.filter(family => own.some(ip => familyOf(ip) === family))
}

interface Probed {
  readonly ip: Ip
  /** Of ICMP 0. */
  readonly port: number
  readonly protocol: Protocol
}

/** Throws `bad-argument` without a port. */
function probed({ text, protocol }: Destination, to: Resolved): Probed {
  const over = protocol ?? to.protocol ?? 'tcp'
  if (over !== 'icmp' && to.port === undefined)
    throw new AppError(
      'bad-argument',
      `the destination ${JSON.stringify(text)}: --probe over ${over.toUpperCase()} needs a port, as ${withPort(to.ip, 80)}; --protocol icmp needs none`,
    )
  return { ip: to.ip, port: over === 'icmp' ? 0 : (to.port ?? 0), protocol: over }
}

interface Trial {
  readonly pod: string
  readonly address: Ip
  readonly from: ProbeFrom
  readonly to: Probed
}

async function tryIt(deps: CliDeps, kernel: Kernel, host: NsState, { pod, address, from, to }: Trial) {
  const netns = netnsOf(host, pod)
  const before = await counts(kernel)
  const asked = { protocol: to.protocol, address: to.ip, port: to.port }
  const { result: attempt, events } = await watched(deps, kernel, address, () => from(netns, asked))
  const counted = difference(before, await counts(kernel))
  const { localPort } = attempt
  const seen = events && localPort !== undefined ? seenIn(events, address, localPort, numbersOf(to.protocol)) : undefined
  const found: Pick<PathFound, 'attempt' | 'counted' | 'seen'> = { attempt, counted, ...(seen && { seen }) }
  // The flow of an echo has its identifier as both ports.
  const port = to.protocol === 'icmp' ? localPort : to.port
  return { attempt: attempt satisfies Attempt, found, asked: { protocol: to.protocol, ...(port !== undefined && { port }) } }
}

const numbers: Readonly<Record<Protocol, readonly number[]>> = { tcp: [6], udp: [17], icmp: [1, 58] }

function numbersOf(protocol: Protocol): readonly number[] {
  return numbers[protocol]
}

const names: Readonly<Record<Protocol, readonly string[]>> = { tcp: ['TCP'], udp: ['UDP'], icmp: ['ICMP', 'ICMPv6'] }

/** The choice of a pod and the way itself, of its newest conversation there. */
export function flowsTo(
  all: readonly FlowRow[],
  address: string,
  { ip, port, protocol }: Resolved,
  localPort?: number,
): Pick<PathFound, 'choice' | 'flow'> {
  const isThere = (r: FlowRow) =>
    (r.remote === ip && (port === undefined || r.remotePort === port)) ||
    (port === undefined ? r.frontend?.startsWith(withPort(ip, 0).slice(0, -1)) : r.frontend === withPort(ip, port)) === true
  const rows = all
    .filter(r => r.local === address && r.began === 'local' && !r.outdated && isThere(r))
    .filter(r => protocol === undefined || names[protocol].includes(r.protocol))
    .filter(r => localPort === undefined || r.localPort === localPort)
    .toSorted((a, b) => a.idleSeconds - b.idleSeconds)
  const ours = rows.filter(r => r.localPort === rows[0]?.localPort && r.protocol === rows[0].protocol)
  const [choice, flow] = [ours.find(r => r.kind === 'choice'), ours.find(r => r.kind === 'pod')]
  return { ...(choice && { choice }), ...(flow && { flow }) }
}

/** Undefined also where nobody can be asked: kube-proxy knows it then. */
async function serviceOf(deps: CliDeps, { ip, port }: Resolved): Promise<string | undefined> {
  const answer = (await deps.policy('/services').catch(() => undefined)) as { readonly services: readonly ServiceView[] } | undefined
  const is = (address: string) =>
    port === undefined ? address.startsWith(withPort(ip, 0).slice(0, -1)) : address.startsWith(`${withPort(ip, port)}/`)
  const found = answer?.services.find(s => s.frontends.some(f => is(f.address)))
  return found && `${found.namespace}/${found.name}`
}
