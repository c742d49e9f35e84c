// SPDX-License-Identifier: Apache-2.0
import { nodeTag } from '#controller/tags.ts'
import { eniModeLabel, nodeCrs } from '#kube/crd/node.ts'
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import { configMaps } from '#kube/reflect/config-map.ts'
import { nodes } from '#kube/reflect/node.ts'
import { parseMac } from '#net/mac.ts'
import { KubeModel } from '../support/kube-model.ts'
import { World } from './clock.ts'
import { calm, region, rough, SimCloud, vSwitches, type Weather, zone } from './cloud.ts'
import { type ControllerPorts, Controlplane } from './controlplane.ts'
import { always, atRest, Violation } from './invariants.ts'
import { Contradiction, Kubelet } from './kubelet.ts'
import { type DaemonPorts, SimNode } from './node.ts'
import { typeFor, type Variant, variantOf } from './variant.ts'

export interface Surroundings {
  readonly weather: Partial<Weather>
  readonly describeLag?: number
  /** Daemons lose the API server, and sandboxes are replaced, this many times as often. */
  readonly isolation?: number
  /** Third parties delete ENIs by force this many times as often. */
  readonly deletions?: number
  /** Somebody assigns addresses to ENIs that pods have for themselves this many times as often. */
  readonly extras?: number
}

/** What a mutant changes; the identity when it changes nothing. */
export interface Ports {
  readonly controller: ControllerPorts
  readonly daemon: DaemonPorts
  /** Worse weather of one kind, for what is rare otherwise. */
  readonly surroundings: Surroundings
}

export const noMutation: Ports = {
  controller: { kube: k => k, cloud: c => c, decisions: {}, options: {} },
  daemon: { kube: k => k, ledger: l => l, datapath: d => d, handler: h => h },
  surroundings: { weather: {} },
}

export const pool = { min: 1, max: 3 }

const eniConf = {
  version: '1',
  ipam_type: 'crd',
  vswitches: { [zone]: vSwitches },
  security_group: 'sg-1',
  vswitch_selection_policy: 'ordered',
  max_pool_size: pool.max,
  min_pool_size: pool.min,
  ip_pool_sync_period: '5s',
  service_cidr: '172.16.0.0/16',
}

/** A whole cluster in one process and virtual time: cloud, API server, controlplane replicas, nodes with their daemons, kubelets. */
export class Cluster {
  readonly world: World
  readonly cloud: SimCloud
  readonly api: KubeModel
  readonly controlplane: Controlplane
  readonly nodes = new Map<string, SimNode>()
  readonly kubelet: Kubelet
  readonly seed: number
  readonly variant: Variant
  readonly #ports: Ports
  readonly isolation: number
  readonly deletions: number
  readonly extras: number
  readonly #conf: string
  #joined = 0
  #broken: unknown

  constructor(seed: number, ports: Ports = noMutation) {
    this.seed = seed
    this.variant = variantOf(seed)
    this.#conf = JSON.stringify({ ...eniConf, ip_stack: this.variant.stack })
    this.#ports = ports
    this.isolation = ports.surroundings.isolation ?? 1
    this.deletions = ports.surroundings.deletions ?? 0
    this.extras = ports.surroundings.extras ?? 1
    this.world = new World(seed)
    this.api = new KubeModel(this.world)
    this.cloud = new SimCloud(this.world, ports.surroundings.describeLag)
    this.controlplane = new Controlplane({ world: this.world, api: this.api, cloud: this.cloud, ports: ports.controller })
    this.kubelet = new Kubelet(this.world, this.api)
    this.cloud.simulator.onView(view => {
      for (const node of this.nodes.values()) {
        node.plug(new Set(view.enis.filter(e => e.instanceId === node.instanceId).map(e => parseMac(e.mac))))
      }
    })
    this.api.put(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'eni-config', namespace: 'kube-system' },
      data: { eni_conf: this.#conf },
    })
    this.api.faults.latency = () => this.world.int(20)
    this.api.faults.watchDelay = () => this.world.int(this.world.chance(0.02) ? 3000 : 30)
    process.once('uncaughtException', this.#uncaught)
  }

  readonly #uncaught = (e: unknown) => {
    this.#broken = e
  }

  close(): void {
    process.off('uncaughtException', this.#uncaught)
    this.cloud.simulator.stop().catch(() => undefined)
  }

  /** Of three machines one gives each pod an ENI; whoever takes the name of another may be of the other kind. */
  join(name: string): SimNode {
    const mode = this.#joined++ % 3 === 1 ? 'exclusive' : 'shared'
    const { instanceId } = this.cloud.simulator.createInstance({
      name,
      type: typeFor(this.variant, mode).id,
      vSwitchId: 'vsw-nodes',
      securityGroupIds: ['sg-1'],
    })
    // Where pods have an ENI each only a daemon that binds by itself is served.
    const central = this.world.chance(0.1) && mode === 'shared'
    const { world, api } = this
    const node = new SimNode({ name, instanceId, world, api, conf: this.#conf, ports: this.#ports.daemon, central, mode })
    this.nodes.set(name, node)
    this.register(node)
    node.start()
    return node
  }

  /** The Kubernetes node of a machine. */
  register({ name, instanceId, mode }: SimNode): void {
    this.api.put(nodes, {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name,
        labels: {
          'topology.kubernetes.io/region': region,
          'topology.kubernetes.io/zone': zone,
          'node.kubernetes.io/instance-type': typeFor(this.variant, mode).id,
          ...(mode === 'exclusive' ? { [eniModeLabel]: 'eniOnly' } : {}),
        },
      },
      spec: { providerID: `${region}.${instanceId}` },
    })
  }

  /** The machine is switched off and its Kubernetes node deleted; the instance goes too, or lives on without its kubelet. */
  leave(node: SimNode, instance: 'deleted' | 'kept'): void {
    node.crash()
    node.sandboxes.clear()
    this.nodes.delete(node.name)
    for (const job of [...this.kubelet.jobs.values()])
      if (job.node === node) this.kubelet.delete(job.name, { forgetful: true, force: true })
    this.api.remove(nodes, node.name)
    this.api.remove(nodeRuntimes, node.name)
    for (const eni of this.cloud.simulator.store.state.list('eni')) if (eni.tags[nodeTag] === node.name) this.cloud.retired.add(eni.id)
    if (instance === 'deleted') this.cloud.simulator.deleteInstance(node.instanceId)
  }

  rough(): void {
    this.cloud.weather = { ...rough, ...this.#ports.surroundings.weather }
    this.api.faults.decide = call =>
      call.verb === 'watch' ? undefined : this.world.chance(0.02) ? (this.world.chance(0.5) ? 'lost' : 'unavailable') : undefined
  }

  /** The faults end; what was on its way arrives. */
  calm(): void {
    this.cloud.weather = calm
    this.api.faults.decide = () => undefined
    this.api.faults.unavailable(false)
    for (const v of vSwitches) this.cloud.simulator.exhaustVSwitch(v, false)
    this.cloud.simulator.clearFaults()
    this.controlplane.ahead = 0
  }

  async run(ms: number): Promise<void> {
    await this.world.run(ms, () => this.#check())
  }

  /** Lets everything settle, then demands that nothing is left over. Throws Violation when it does not settle. */
  async settle(): Promise<void> {
    this.calm()
    const deadline = this.world.now() + 60 * 60_000
    for (;;) {
      this.#replaceCut()
      await this.run(60_000)
      try {
        atRest(this)
        return
      } catch (e) {
        if (this.world.now() >= deadline || !(e instanceof Violation)) throw e
      }
    }
  }

  /** Pods whose ENI somebody has deleted are replaced. */
  #replaceCut(): void {
    const gone = new Set([...this.cloud.taken].filter(id => this.cloud.simulator.store.state.get('eni', id) === undefined))
    const nics = this.api.all(nodeCrs).flatMap(cr => Object.values(cr.status?.networkInterfaces ?? {}))
    const named = nics.flatMap(nic => (gone.has(nic.id) ? Object.values({ ...nic.ipv4, ...nic.ipv6 }).flatMap(a => a.podUID ?? []) : []))
    this.kubelet.replaceCut(gone, new Set(named))
  }

  why(node: SimNode): string {
    const cr = this.api.read(nodeCrs, node.name)
    return JSON.stringify({
      starts: node.starts,
      up: node.handler !== undefined,
      status: cr?.status,
      runtime: this.api.read(nodeRuntimes, node.name)?.status,
    })
  }

  #check(): void {
    if (this.#broken !== undefined) throw this.#broken
    always(this)
  }
}

export function isViolation(e: unknown): e is Error {
  return e instanceof Violation || e instanceof Contradiction || (e instanceof Error && 'code' in e && e.code === 'double-use')
}
