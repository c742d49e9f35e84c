// SPDX-License-Identifier: Apache-2.0
import { maps } from '#kernel/bpf/maps.ts'
import { affinitySlot, serviceScope } from '#kernel/bpf/words.ts'
import { type EndpointSlice, endpointSlices } from '#kube/reflect/endpoint-slice.ts'
import { nodes } from '#kube/reflect/node.ts'
import { type Service, services } from '#kube/reflect/service.ts'
import { silent } from '#lib/log.ts'
import { policyMetrics } from '#lib/metrics.ts'
import { withPort } from '#net/ip.ts'
import { type Deps, defaultOptions, type Options } from '#policyd/deps.ts'
import { Policyd } from '#policyd/policyd.ts'
import { KubeModel } from './kube-model.ts'
import { MapsModel } from './maps-model.ts'
import { VirtualClock } from './virtual-clock.ts'

export const policyNode = 'node-1'

/** One node's maps and the cluster, in memory, on which terway-policy can be started, killed and started again. Time is virtual. */
export class PolicydWorld {
  readonly clock: VirtualClock
  readonly model: KubeModel
  readonly kernel = new MapsModel()
  readonly metrics = policyMetrics()
  policyd: Policyd | undefined
  /** What ends sockets of backends that are gone. */
  cut: Deps['cutSockets'] = async () => undefined
  options: Options = { ...defaultOptions, nodeName: policyNode, proxyHealth: '127.0.0.1:0' }

  constructor(seed = 1) {
    this.clock = new VirtualClock(seed)
    this.model = new KubeModel(this.clock)
    this.kernel.pin()
    this.node()
  }

  /** Begins; the first write has been made when it resolves, if maps and API server are there. */
  async start(): Promise<Policyd> {
    const policyd = this.make()
    policyd.start().catch(() => undefined)
    this.policyd = policyd
    await this.clock.advance(100)
    return policyd
  }

  /** Not begun. */
  make(): Policyd {
    const { clock, metrics, kernel, options } = this
    return new Policyd(
      { kube: this.model.client('policyd'), kernel, clock, log: silent, metrics, cutSockets: gone => this.cut(gone) },
      options,
    )
  }

  async stop(): Promise<void> {
    await this.policyd?.stop()
    this.policyd = undefined
  }

  /** As `kill -9` does it: what the kernel has not done by now is never done. */
  async kill(): Promise<void> {
    const { refuse } = this.kernel
    this.kernel.refuse = () => 'die'
    await this.stop()
    this.kernel.refuse = refuse
  }

  node(more: { readonly spec?: object; readonly addresses?: readonly string[] } = {}): void {
    const { addresses = ['127.0.0.1'], spec = {} } = more
    const status = { addresses: addresses.map(address => ({ type: 'InternalIP', address })) }
    this.model.put(nodes, nodes.parse({ metadata: { name: policyNode }, spec, status }))
  }

  service(name: string, spec: object): Service {
    const ports = [{ name: '', protocol: 'TCP', port: 80 }]
    return this.model.put(
      services,
      services.parse({ metadata: { name, namespace: 'default', uid: `uid-${name}` }, spec: { type: 'ClusterIP', ports, ...spec } }),
    )
  }

  /** One slice of a Service; `local` addresses are on this node. */
  endpoints(service: string, addresses: readonly string[], local: readonly string[] = []): EndpointSlice {
    const endpoint = (ip: string) => ({
      addresses: [ip],
      conditions: { ready: true },
      nodeName: local.includes(ip) ? policyNode : 'elsewhere',
    })
    const slice = {
      metadata: { name: `${service}-1`, namespace: 'default', labels: { 'kubernetes.io/service-name': service } },
      addressType: 'IPv4',
      endpoints: addresses.map(endpoint),
      ports: [{ name: '', protocol: 'TCP', port: 8080 }],
    }
    return this.model.put(endpointSlices, endpointSlices.parse(slice))
  }

  /** What the maps say: `172.21.0.1:80 inside` → its backends, sorted. */
  served(): Readonly<Record<string, readonly string[]>> {
    return Object.fromEntries(
      rows(this.kernel, 'services').map(([key, value]) => {
        const { ip, port, scope } = maps.services.key.decode(key)
        const { set } = maps.services.value.decode(value)
        return [`${withPort(String(ip), port)} ${scope === serviceScope.inside ? 'inside' : 'outside'}`, backendsOf(this.kernel, set)]
      }),
    )
  }
}

function backendsOf(kernel: MapsModel, set: number): readonly string[] {
  const found = kernel.entries('backend_sets').get(maps.backend_sets.key.encode({ set }).toString('hex'))
  const count = found === undefined ? 0 : maps.backend_sets.value.decode(Buffer.from(found, 'hex')).count
  const slots = rows(kernel, 'backend_slots').flatMap(([key, value]) => {
    const slot = maps.backend_slots.key.decode(key)
    return slot.set === set && slot.slot < affinitySlot && slot.slot < count ? [maps.backend_slots.value.decode(value).backend] : []
  })
  return slots
    .map(backend => {
      const row = kernel.entries('backends').get(maps.backends.key.encode({ backend }).toString('hex'))
      if (row === undefined) return `no backend ${backend}`
      const { ip, port } = maps.backends.value.decode(Buffer.from(row, 'hex'))
      return withPort(String(ip), port)
    })
    .sort()
}

function rows(kernel: MapsModel, map: 'services' | 'backend_slots'): readonly (readonly [Buffer, Buffer])[] {
  return [...kernel.entries(map)].map(([key, value]) => [Buffer.from(key, 'hex'), Buffer.from(value, 'hex')] as const)
}
