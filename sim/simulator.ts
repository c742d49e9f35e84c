// SPDX-License-Identifier: Apache-2.0
import { perform, releaseTransitions } from './call.ts'
import { machineClock, type SimClock } from './clock.ts'
import { type ActiveFault, type FaultSpec, Faults, parseFault } from './fault.ts'
import { settingsOf } from './genesis.ts'
import { type Listening, listenApi } from './http.ts'
import { deleteBalancer, ensureBalancer, type NewBalancer, setListeners } from './model/balancer.ts'
import { fault } from './model/errors.ts'
import { createInstance, deleteInstance, type NewInstance, setInstanceStatus } from './model/instance.ts'
import { fabricView } from './model/project.ts'
import type { Balancer, BalancerListener, Eni, Instance } from './model/rows.ts'
import type { Change } from './model/state.ts'
import { Throttler } from './model/throttle.ts'
import type { FabricView } from './model/view.ts'
import type { Seed } from './seed-schema.ts'
import { Store } from './store.ts'

export interface SimulatorOptions {
  /** A checked seed: `readSeed(path)` or `parseSeed(value)`. */
  readonly seed: Seed
  /** The machine's clock when absent. */
  readonly clock?: SimClock
  /** Where the journal lives; nothing survives the process when absent. */
  readonly stateDir?: string
}

/** What the machine that is the instance must know of its primary ENI. */
export interface CreatedInstance {
  readonly instanceId: string
  readonly name: string
  readonly zoneId: string
  readonly type: string
  readonly primary: {
    readonly eniId: string
    readonly mac: string
    readonly ipv4: string
    readonly ipv6: readonly string[]
    readonly vSwitchId: string
  }
}

/** Kinds of rows that FabricView is made of. */
const fabricKinds: ReadonlySet<string> = new Set(['vpc', 'vSwitch', 'instance', 'eni', 'securityGroup', 'balancer'])

/**
 * The simulated cloud in one process: the state with its clock and journal, the OpenAPI, and the operator's hand (instances,
 * faults). The fabric follows it through `onView`.
 */
export class Simulator {
  readonly store: Store
  readonly clock: SimClock
  readonly #faults = new Faults()
  readonly #throttler: Throttler
  readonly #listeners = new Set<(view: FabricView) => void>()
  readonly #servers = new Set<Listening>()

  /** Takes up the state in `stateDir` or makes it from the seed. Transitions end by themselves from now on. */
  constructor({ seed, clock = machineClock, stateDir }: SimulatorOptions) {
    const settings = settingsOf(seed)
    this.clock = clock
    this.store = new Store(settings, seed, clock, stateDir)
    this.#throttler = new Throttler(settings.throttle)
    this.store.onChange(changes => this.#announce(changes))
  }

  /** Goes on after `stop`; a new simulator runs already. */
  start(): this {
    this.store.start()
    return this
  }

  /** The present state as the fabric must make it real. */
  view(): FabricView {
    this.store.advance()
    return fabricView(this.store.state)
  }

  /** Calls back with the new view after each change of it, in order, synchronously. Returns the unsubscriber. */
  onView(callback: (view: FabricView) => void): () => void {
    this.#listeners.add(callback)
    return () => this.#listeners.delete(callback)
  }

  /** Performs an API call without HTTP, as an all-powerful caller. Throws CloudFault {code, status} or ReplyLost. */
  call(action: string, params: Readonly<Record<string, string>>): Promise<object> {
    const all = { RegionId: this.store.state.settings.regionId, ...params }
    return perform(this.machinery, { action, params: new Map(Object.entries(all)), caller: { id: 'in-process', allow: ['*'] } })
  }

  /** Creates a running instance with its primary ENI in use. */
  createInstance(wanted: NewInstance): CreatedInstance {
    return describe(this.store.run(state => createInstance(state, wanted)))
  }

  /** Deletes the instance with the ENIs that go with it. */
  deleteInstance(id: string): void {
    this.store.run(state => deleteInstance(state, id))
  }

  stopInstance(id: string): void {
    this.store.run(state => setInstanceStatus(state, id, 'Stopped'))
  }

  startInstance(id: string): void {
    this.store.run(state => setInstanceStatus(state, id, 'Running'))
  }

  instances(): (CreatedInstance & { readonly running: boolean })[] {
    const { state } = this.store
    return state.list('instance').flatMap(instance => {
      const eni = state.get('eni', instance.primaryEniId)
      return eni === undefined ? [] : [{ ...describe({ instance, eni }), running: instance.status === 'Running' }]
    })
  }

  balancers(): readonly Balancer[] {
    return this.store.state.list('balancer')
  }

  /** The balancer of that name; made when there is none. */
  ensureBalancer(wanted: NewBalancer): Balancer {
    return this.store.run(state => ensureBalancer(state, wanted))
  }

  /** What a balancer listens for from now on, and who gets it. */
  setListeners(name: string, listeners: readonly BalancerListener[]): void {
    this.store.run(state => setListeners(state, name, listeners))
  }

  deleteBalancer(name: string): void {
    this.store.run(state => deleteBalancer(state, name))
  }

  /** Adds a fault; throws when it is malformed. Returns its id. */
  addFault(spec: FaultSpec): string {
    return this.#faults.add(parseFault(spec))
  }

  /** Ends one fault or all. Transitions that a `stuck` fault holds end now. */
  clearFaults(id?: string): number {
    const ended = this.#faults.clear(id)
    if (ended.some(spec => spec.kind === 'stuck')) releaseTransitions(this.store)
    return ended.length
  }

  faults(): ActiveFault[] {
    return this.#faults.list()
  }

  /** Takes an ENI away as if somebody had deleted it by force. */
  vanishEni(id: string): void {
    this.store.run(state => {
      if (state.get('eni', id) === undefined) throw fault('InvalidEniId.NotFound', `ENI ${id} does not exist.`)
      state.drop('eni', id)
    })
  }

  /** Makes a vSwitch hand out no more addresses, or ends that. */
  exhaustVSwitch(id: string, exhausted = true): void {
    this.store.run(state => {
      const vSwitch = state.get('vSwitch', id)
      if (vSwitch === undefined) throw fault('InvalidVSwitchId.NotFound', `vSwitch ${id} does not exist.`)
      state.put('vSwitch', { ...vSwitch, exhausted })
    })
  }

  /** Every row of the state by kind, without the secrets of keys. */
  dump(): Record<string, unknown[]> {
    this.store.advance()
    const rows = this.store.state.dump().map(({ kind, row }) => ({ kind, row: kind === 'account' ? { ...row, secret: '******' } : row }))
    return Object.fromEntries(
      Object.entries(Object.groupBy(rows, ({ kind }) => kind)).map(([kind, list = []]) => [kind, list.map(({ row }) => row)]),
    )
  }

  /** Serves the OpenAPI on an address; port 0 takes a free one. */
  async listen(address: { readonly host: string; readonly port: number }): Promise<Listening> {
    return this.own(await listenApi(this, address))
  }

  /** Ends every server and the timer. */
  async stop(): Promise<void> {
    this.store.stop()
    await Promise.all([...this.#servers].map(server => server.close()))
  }

  /** Makes `stop` end this server too. */
  own(server: Listening): Listening {
    this.#servers.add(server)
    return server
  }

  get machinery() {
    return { store: this.store, clock: this.clock, faults: this.#faults, throttler: this.#throttler }
  }

  #announce(changes: readonly Change[]): void {
    if (this.#listeners.size === 0 || !changes.some(change => fabricKinds.has(change.kind))) return
    const view = fabricView(this.store.state)
    for (const listener of this.#listeners) listener(view)
  }
}

function describe({ instance, eni }: { readonly instance: Instance; readonly eni: Eni }): CreatedInstance {
  const [ipv4 = ''] = eni.ipv4
  return {
    instanceId: instance.id,
    name: instance.name,
    zoneId: instance.zoneId,
    type: instance.type,
    primary: { eniId: eni.id, mac: eni.mac, ipv4, ipv6: eni.ipv6, vSwitchId: eni.vSwitchId },
  }
}
