// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import { familyOf } from '../sim/fabric/address.ts'
import { eniModeIn, type NodeCr } from '../src/kube/crd/node.ts'
import type { NodeRuntime } from '../src/kube/crd/node-runtime.ts'
import { podsServed, type Stack } from '../src/net/stack.ts'
import { askCloud, type CloudEni } from './cloud/enis.ts'
import { get } from './get.ts'
import type { Lab } from './lab.ts'
import { ipsOf, type Pod } from './pods.ts'

/** One node as its witnesses see it. Addresses are of secondary ENIs, of both families. */
export interface Witnesses {
  readonly node: string
  /** ENI id → addresses, of ENIs attached to the node's instance. */
  readonly cloud: ReadonlyMap<string, readonly string[]>
  readonly resources: ReadonlyMap<string, readonly string[]>
  /** MACs of ENIs, as the cloud has them and as devices on the node. */
  readonly cloudMacs: readonly string[]
  readonly kernelMacs: readonly string[]
  /** Addresses that NodeRuntime says pods hold, and addresses with host routes and rules in the kernel. */
  readonly held: readonly string[]
  readonly routes: readonly string[]
  readonly rules: readonly string[]
  /** Addresses that the API server shows for pods that run here, and host ends of pods that no route uses. */
  readonly pods: readonly string[]
  readonly loose: readonly string[]
  /** MAC of an ENI → addresses, where each pod has an ENI for itself: in the cloud, and on the devices in the pods. Such pods have no policy rules. */
  readonly exclusive?: { readonly cloud: ReadonlyMap<string, readonly string[]>; readonly pods: ReadonlyMap<string, readonly string[]> }
}

/** What the witnesses disagree about, in words; empty = they tell the same story. Pure. */
export function disagreements(w: Witnesses): string[] {
  const eniIds = [...new Set([...w.cloud.keys(), ...w.resources.keys()])].sort()
  const addresses = eniIds.flatMap(id => differences(`${id}:`, 'the cloud', w.cloud.get(id), 'the Node resource', w.resources.get(id)))
  return [
    ...addresses,
    ...differences('ENI', 'the cloud', w.cloudMacs, 'the kernel', w.kernelMacs),
    ...differences('pod address', 'NodeRuntime', w.held, 'host routes', w.routes),
    ...(w.exclusive === undefined
      ? differences('pod address', 'NodeRuntime', w.held, 'policy rules', w.rules)
      : exclusiveDisagreements(w.exclusive, w.held)),
    ...differences('pod address', 'NodeRuntime', w.held, 'the API server', w.pods),
    ...w.loose.map(link => `device ${link} belongs to no pod`),
  ].map(text => `${w.node}: ${text}`)
}

/** Each ENI is for one pod, which has all of its addresses. */
function exclusiveDisagreements({ cloud, pods }: NonNullable<Witnesses['exclusive']>, held: readonly string[]): string[] {
  const crowded = [...cloud].flatMap(([mac, ips]) =>
    ([4, 6] as const)
      .filter(family => ips.filter(ip => familyOf(ip) === family).length > 1)
      .map(family => `ENI ${mac} has more than one IPv${family} address for its only pod`),
  )
  const worn = [...pods].flatMap(([mac, ips]) => differences(`ENI ${mac}:`, 'the cloud', cloud.get(mac), 'its pod', ips))
  return [...crowded, ...worn, ...differences('pod address', 'NodeRuntime', held, 'devices in pods', [...pods.values()].flat())]
}

/** How many pods the addresses that no pod holds would serve. Pure. */
export function idleOf(w: Pick<Witnesses, 'cloud' | 'held'>, stack: Stack): number {
  const count = (all: readonly string[], family: 4 | 6) => all.filter(ip => familyOf(ip) === family).length
  const cloud = [...w.cloud.values()].flat()
  return podsServed(stack, count(cloud, 4) - count(w.held, 4), count(cloud, 6) - count(w.held, 6))
}

function differences(what: string, nameA: string, a: readonly string[] = [], nameB: string, b: readonly string[] = []): string[] {
  const onlyA = a.filter(x => !b.includes(x)).map(x => `${what} ${x} is in ${nameA} and not in ${nameB}`)
  const onlyB = b.filter(x => !a.includes(x)).map(x => `${what} ${x} is in ${nameB} and not in ${nameA}`)
  return [...onlyA, ...onlyB]
}

/** Asks the cloud by its SDK, the API server for both resources and the pods, and each node's kernel. */
export async function witnesses(lab: Lab): Promise<readonly Witnesses[]> {
  const [enis, nodes, runtimes, pods] = await Promise.all([
    askCloud(lab),
    get<NodeCr[]>(lab, 'nodes.network.alibabacloud.com'),
    get<NodeRuntime[]>(lab, 'noderuntimes.network.alibabacloud.com'),
    get<Pod[]>(lab, 'pods', '--all-namespaces'),
  ])
  return Promise.all(
    lab.state.nodes.map(async ({ name, identity, labels }) => {
      const attached = enis.filter(eni => eni.instanceId === identity.instanceId)
      const secondary = attached.filter(eni => eni.type !== 'Primary')
      const { kernelMacs, ...kernel } = await kernelOf(lab, name)
      const inPods = eniModeIn(labels) === 'exclusive' ? await devicesInPods(lab, name) : undefined
      const nics = Object.values(nodes.find(n => n.metadata.name === name)?.status?.networkInterfaces ?? {})
      return {
        node: name,
        cloud: addressesOf(secondary, eni => eni.id),
        resources: new Map(nics.map(nic => [nic.id, Object.keys({ ...nic.ipv4, ...nic.ipv6 }).sort()])),
        cloudMacs: attached.map(eni => eni.mac).sort(),
        pods: addressesOfPods(pods.filter(p => p.spec.nodeName === name)),
        held: heldIn(runtimes.find(r => r.metadata.name === name)),
        ...kernel,
        kernelMacs: [...kernelMacs, ...(inPods?.keys() ?? [])].sort(),
        ...(inPods !== undefined && { exclusive: { cloud: addressesOf(secondary, eni => eni.mac), pods: inPods } }),
      }
    }),
  )
}

/** ENIs of the VPC that belong to none of the lab's machines, and cloud calls whose outcome nobody has looked at: empty when all is accounted for. */
export async function unaccounted(lab: Lab): Promise<string[]> {
  const [enis, nodes] = await Promise.all([askCloud(lab), get<NodeCr[]>(lab, 'nodes.network.alibabacloud.com')])
  const { control, nodes: machines } = lab.state
  const instances = new Set([control, ...machines.map(n => n.identity)].map(i => i.instanceId))
  const intents = nodes.flatMap(n =>
    Object.values(n.status?.intents ?? {}).map(i => `${n.metadata.name}: intent ${i.token} to ${i.kind} is open`),
  )
  return [...enis.filter(e => !instances.has(e.instanceId)).map(e => `ENI ${e.id} is ${e.status} and on no machine of the lab`), ...intents]
}

/** What is asked from three places is not one instant: a difference counts when it is still there after `ms`. */
export async function settled(lab: Lab, ms = 20_000): Promise<readonly Witnesses[]> {
  const deadline = performance.now() + ms
  for (;;) {
    const all = await witnesses(lab)
    if (all.flatMap(disagreements).length === 0 || performance.now() > deadline) return all
    await sleep(500)
  }
}

function addressesOfPods(pods: readonly Pod[]): string[] {
  return pods
    .filter(p => p.spec.hostNetwork !== true && p.status.phase !== 'Succeeded' && p.status.phase !== 'Failed')
    .flatMap(ipsOf)
    .sort()
}

function addressesOf(enis: readonly CloudEni[], key: (eni: CloudEni) => string): Map<string, readonly string[]> {
  return new Map(enis.map(eni => [key(eni), [...eni.ipv4, ...eni.ipv6].sort()]))
}

/** Addresses of pods whose newest status is not `deleted`. */
function heldIn(runtime: NodeRuntime | undefined): string[] {
  return Object.values(runtime?.status?.pods ?? {})
    .filter(pod => {
      const newest = Object.entries(pod.status).sort(([, a], [, b]) => (a.lastUpdateTime < b.lastUpdateTime ? 1 : -1))[0]
      return newest?.[0] !== 'deleted'
    })
    .flatMap(pod => [pod.ipv4 ?? [], pod.ipv6 ?? []].flat())
    .sort()
}

/** eth0 of each pod on an exclusive node, which is an ENI: MAC → addresses. */
async function devicesInPods(lab: Lab, node: string): Promise<ReadonlyMap<string, readonly string[]>> {
  interface Device extends Link {
    readonly addr_info: readonly { readonly local: string; readonly scope: string }[]
  }
  // A namespace may end meanwhile.
  const script = 'for ns in $(ls /run/netns); do ip -n "$ns" -j addr show dev eth0 2>/dev/null || true; done'
  const { stdout } = await lab.node(node).exec(['sh', '-c', script])
  const devices: readonly Device[] = stdout.split('\n').flatMap(line => (line === '' ? [] : JSON.parse(line)))
  const global = ({ addr_info }: Device) => addr_info.filter(a => a.scope === 'global').map(a => a.local)
  return new Map(devices.map(device => [device.address, global(device).sort()]))
}

interface Link {
  readonly ifname: string
  readonly address: string
  readonly link_type: string
}
interface Route {
  readonly dst: string
  readonly dev: string
}
interface Rule {
  readonly priority: number
  readonly src?: string
  readonly dst?: string
}

async function kernelOf(lab: Lab, node: string): Promise<Pick<Witnesses, 'kernelMacs' | 'routes' | 'rules' | 'loose'>> {
  const ip = async <T>(...args: string[]): Promise<T[]> => {
    const ran = await lab.node(node).exec(['ip', '-j', ...args])
    if (ran.code !== 0) throw new Error(`ip ${args.join(' ')} on ${node}: ${ran.stderr.trim()}`)
    return JSON.parse(ran.stdout || '[]')
  }
  const both = async <T>(what: string) => (await Promise.all([ip<T>('-4', what), ip<T>('-6', what)])).flat()
  const [links, allRoutes, rules] = await Promise.all([ip<Link>('link'), both<Route>('route'), both<Rule>('rule')])
  // The kernel gives each device a route to its link-local neighbours.
  const routes = allRoutes.filter(r => r.dev.startsWith('cali') && !r.dst.startsWith('fe80:'))
  const toPods = rules.filter(r => r.priority === 512).flatMap(r => r.dst ?? [])
  const fromPods = rules.filter(r => r.priority === 2048).flatMap(r => r.src ?? [])
  return {
    kernelMacs: links
      .filter(l => /^(eth\d+|eni[0-9a-f]+)$/.test(l.ifname))
      .map(l => l.address)
      .sort(),
    loose: links.map(l => l.ifname).filter(name => name.startsWith('cali') && !routes.some(r => r.dev === name)),
    routes: routes.map(r => r.dst).sort(),
    // A pod has one rule of each kind: an address with only one of them is shown as a difference.
    rules: toPods
      .filter(a => fromPods.includes(a))
      .concat(
        toPods.filter(a => !fromPods.includes(a)).map(a => `${a} (to only)`),
        fromPods.filter(a => !toPods.includes(a)).map(a => `${a} (from only)`),
      )
      .sort(),
  }
}
