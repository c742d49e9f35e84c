// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { pino } from 'pino'
import type { AccessKey, Credentials } from '#cloud/credentials.ts'
import { makeEcs } from '#cloud/ecs.ts'
import { governed } from '#cloud/execute.ts'
import { makeThrottle } from '#cloud/throttle.ts'
import { makeRpc } from '#cloud/transport.ts'
import { makeVpc } from '#cloud/vpc.ts'
import { type ControllerOptions, decisions, defaultControllerOptions, noObserver } from '#controller/deps.ts'
import { runController } from '#controller/run.ts'
import { type NodeCr, nodeCrs } from '#kube/crd/node.ts'
import { Election } from '#kube/elect.ts'
import { configMaps } from '#kube/reflect/config-map.ts'
import { nodes } from '#kube/reflect/node.ts'
import { parseMac } from '#net/mac.ts'
import type { Stack } from '#net/stack.ts'
import { parseSeed } from '#sim/seed.ts'
import type { Seed } from '#sim/seed-schema.ts'
import { Simulator } from '#sim/simulator.ts'
import { KubeModel } from '../support/kube-model.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { difference } from './difference.ts'
import { TestNode } from './node.ts'
import { Wire } from './wire.ts'

export const zone = 'cn-lab-a'
export const vSwitches = ['vsw-a', 'vsw-b'] as const
export const goodKey: AccessKey = { accessKeyId: 'LTAI-good', accessKeySecret: 'good-secret' }
const clusterId = 'c-scenario'
const vpcId = 'vpc-1'

const seed: Seed = {
  region: 'cn-lab',
  zones: [zone, 'cn-lab-b'],
  keys: [
    { id: goodKey.accessKeyId, secret: goodKey.accessKeySecret },
    { id: 'LTAI-poor', secret: 'poor-secret', allow: ['DescribeVSwitches'] },
  ],
  vpc: { id: vpcId, cidr4: '10.0.0.0/16', cidr6: 'fd00::/56' },
  vSwitches: [
    { id: vSwitches[0], zone, cidr4: '10.0.0.0/24', cidr6: 'fd00::/64' },
    // Without IPv6, as they are unless somebody turns it on.
    { id: vSwitches[1], zone, cidr4: '10.0.1.0/24' },
    { id: 'vsw-elsewhere', zone: 'cn-lab-b', cidr4: '10.0.2.0/24' },
    { id: 'vsw-nodes', zone, cidr4: '10.0.3.0/24', cidr6: 'fd00:0:0:3::/64' },
  ],
  securityGroups: [{ id: 'sg-1' }],
  instances: [],
  timing: { creating: 300, attaching: 2000, detaching: 2000, deleting: 500, describeLag: 300, metadataLag: 500, call: 0 },
}

const eniConf = {
  version: '1',
  ipam_type: 'crd',
  vswitches: { [zone]: vSwitches },
  security_group: 'sg-1',
  vswitch_selection_policy: 'ordered',
  min_pool_size: 1,
  max_pool_size: 3,
  ip_pool_sync_period: '10s',
}

/**
 * A cluster in one process: the simulated cloud behind its HTTP server, reached by the real client; controlplane replicas and
 * daemons as they are, over an API server in memory. Virtual time: production's durations pass in milliseconds.
 */
export class World implements AsyncDisposable {
  readonly wire = new Wire()
  readonly clock = new VirtualClock(1, this.wire.settled)
  readonly api = new KubeModel(this.clock)
  readonly simulator: Simulator
  readonly nodes = new Map<string, TestNode>()
  /** What pods that come now are to have. */
  stack: Stack = 'ipv4'
  /** What machines that join now are labelled with, besides. */
  labels: Readonly<Record<string, string>> = {}
  /** What every process logged, as text. */
  readonly log: string[] = []
  /** The key that calls are signed with from now on. */
  key = goodKey
  credentials: Credentials = () => Promise.resolve(this.key)
  readonly logger = pino({ level: 'info' }, { write: line => void this.log.push(line) })
  readonly #stops: (() => void)[] = []
  #endpoint = ''
  #replicas = 0

  private constructor(changes: Partial<Seed>) {
    this.wire.now = () => this.clock.now()
    this.simulator = new Simulator({ seed: parseSeed({ ...seed, ...changes }), clock: this.clock })
    this.wire.slow = action => this.#slow(action)
    this.simulator.onView(view => {
      for (const node of this.nodes.values()) {
        node.kernel.enis.clear()
        for (const e of view.enis) if (e.instanceId === node.instanceId) node.kernel.enis.add(parseMac(e.mac))
      }
    })
    this.configure({})
  }

  #slow(action: string): (() => boolean) | undefined {
    const find = () => this.simulator.faults().find(f => f.kind === 'slow' && f.action === action)
    const fault = find()
    if (fault === undefined || fault.hits >= (fault.count ?? Number.POSITIVE_INFINITY)) return undefined
    return () => find()?.hits !== fault.hits
  }

  static async make(changes: Partial<Seed> = {}): Promise<World> {
    const w = new World(changes)
    const { port } = await w.simulator.listen({ host: '127.0.0.1', port: 0 })
    w.#endpoint = `127.0.0.1:${port}`
    return w
  }

  /** Changes eni_conf; daemons follow. */
  configure(changes: Record<string, unknown> & { readonly ip_stack?: Stack }): void {
    this.stack = changes.ip_stack ?? 'ipv4'
    const metadata = { name: 'eni-config', namespace: 'kube-system' }
    this.api.put(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata,
      data: { eni_conf: JSON.stringify({ ...eniConf, ...changes }) },
    })
  }

  /** Starts a controlplane replica under leader election, with its own limits (calls per minute, by API); returns its name as a client of the API server. */
  controlplane(changes: Partial<ControllerOptions> = {}, limits: Readonly<Record<string, number>> = {}): string {
    const hostname = `controlplane-${++this.#replicas}`
    const { clock } = this
    const kube = this.api.client(hostname)
    const endpoints = { scheme: 'http', region: 'cn-lab', host: { ecs: this.#endpoint, vpc: this.#endpoint } } as const
    const rpc = (product: 'ecs' | 'vpc') => makeRpc(product, endpoints, () => this.credentials(), this.wire.as(hostname), clock)
    const throttle = makeThrottle(clock, limits)
    const observer = { called: () => undefined, waited: () => undefined }
    const cloudFor = governed({ ...makeEcs(rpc('ecs')), ...makeVpc(rpc('vpc')) }, { clock, throttle, observer })
    const options = { ...defaultControllerOptions, clusterId, vpcId, syncPeriod: 30_000, ...changes }
    const deps = { kube, cloudFor, throttle, clock, log: this.logger, observer: noObserver, decisions }
    const election = new Election({ kube, clock, namespace: 'kube-system', name: 'terway-controlplane', hostname })
    const stop = new AbortController()
    this.#stops.push(() => stop.abort())
    void election.run(async leadership => {
      const running = runController(deps, options, leadership)
      await new Promise<void>(resolve => leadership.signal.addEventListener('abort', () => resolve(), { once: true }))
      running.stop()
    }, stop.signal)
    return hostname
  }

  /** Another controlplane process takes the place of all that run. */
  restart(): void {
    for (const stop of this.#stops.splice(0)) stop()
    this.controlplane()
  }

  /** A machine that joins the cluster, with its daemon. The instance is made unless one is given. */
  async join(
    name: string,
    type = 'ecs.lab.medium',
    instance = this.instance(name, type),
    primaryVSwitch?: () => Promise<string | undefined>,
  ): Promise<TestNode> {
    const node = new TestNode({ name, instanceId: instance, clock: this.clock, api: this.api, log: this.logger, stack: () => this.stack })
    this.nodes.set(name, node)
    const labels = {
      'topology.kubernetes.io/region': 'cn-lab',
      'topology.kubernetes.io/zone': zone,
      'node.kubernetes.io/instance-type': type,
      ...this.labels,
    }
    const spec = { providerID: `cn-lab.${instance}` }
    this.api.put(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name, labels }, spec })
    await node.start(primaryVSwitch)
    return node
  }

  instance(name: string, type = 'ecs.lab.medium'): string {
    return this.simulator.createInstance({ name, type, vSwitchId: 'vsw-nodes', securityGroupIds: ['sg-1'] }).instanceId
  }

  /** A controlplane and one node with its first addresses. */
  async oneNode(type?: string): Promise<TestNode> {
    this.controlplane()
    const node = await this.join('node-1', type)
    await this.until('node-1 has an idle address', () => this.nics('node-1').some(n => n.status === 'InUse'))
    return node
  }

  cr(name: string): NodeCr | undefined {
    return this.api.read(nodeCrs, name)
  }

  nics(name: string) {
    return Object.values(this.cr(name)?.status?.networkInterfaces ?? {})
  }

  /** The cloud's ENIs besides primary ones. */
  enis() {
    return this.simulator.store.state.list('eni').filter(e => e.type !== 'Primary')
  }

  /** Messages of Warning events about a node, whoever sent them. */
  warnings(name: string): readonly string[] {
    return this.api.events.filter(e => e.about.name === name && e.type === 'Warning').map(e => `${e.reason}: ${e.message}`)
  }

  conditions(name: string): readonly string[] {
    return this.nics(name).flatMap(n => Object.entries(n.conditions ?? {}).map(([type, c]) => `${type}: ${c.message}`))
  }

  /** Lets time pass until the condition holds; fails when it does not within `ms` of virtual time. */
  async until(what: string, holds: () => boolean, ms = 120_000): Promise<void> {
    const end = this.clock.now() + ms
    while (!holds()) {
      if (this.clock.now() >= end) assert.fail(`not within ${ms / 1000} s: ${what}\n${this.picture()}`)
      await this.clock.advance(200)
    }
  }

  /** Every pod is served and nothing is left over, within `ms`. */
  async atRest(ms = 300_000): Promise<void> {
    const served = () => [...this.nodes.values()].every(n => n.served)
    const end = this.clock.now() + ms
    while (this.clock.now() < end && !(served() && difference(this).length === 0)) await this.clock.advance(500)
    assert.ok(served(), `pods wait\n${this.picture()}`)
    assert.deepEqual(difference(this), [], this.picture())
  }

  picture(): string {
    const crs = this.api.all(nodeCrs).map(cr => ({ name: cr.metadata.name, spec: cr.spec.eni, status: cr.status }))
    const pods = [...this.nodes.values()].flatMap(n => [...n.pods.values()])
    return JSON.stringify(
      { now: this.clock.now(), crs, pods, events: this.api.events.slice(-8), log: this.log.slice(-12), calls: this.wire.sent.length },
      undefined,
      1,
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stop of this.#stops) stop()
    for (const node of this.nodes.values()) await node.stop()
    await this.clock.advance(1_000)
    await this.simulator.stop()
  }
}
