// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EndpointSlice } from '#kube/reflect/endpoint-slice.ts'
import type { Service } from '#kube/reflect/service.ts'
import type { Change } from '#state/entry.ts'
import type { NodeFacts } from '#state/node-facts.ts'
import { keyOf } from '#state/service-tables.ts'
import { Chance } from '../../../test/support/chance.ts'
import { generator } from '../../../test/support/generator.ts'
import { ServiceMaps } from '../../../test/support/service-maps.ts'
import { here } from '../../../test/support/service-objects.ts'
import { anyService, anySlice } from '../../../test/support/service-random.ts'
import { drainMs } from './backends.ts'
import { nothingRestored, restoreIds } from './restore.ts'
import { type HealthCheck, ServiceState } from './state.ts'

const options = { mostHashedSets: 3 }

/** One node's process, its maps and the cluster that it watches, at any moment of a random history. */
class History {
  readonly #c: Chance
  readonly #services = new Map<string, Service>()
  readonly #slices = new Map<string, EndpointSlice>()
  #node: NodeFacts = here
  #now = 0
  #state = new ServiceState(nothingRestored, 0, options)
  readonly maps = new ServiceMaps()
  /** Of all times: what a number has ever meant. */
  readonly #meanings = new Map<string, string>()

  constructor(seed: number) {
    this.#c = new Chance(generator(seed))
    this.#list(this.#state)
  }

  /** Some events, and then what they come to. */
  step(): void {
    for (let n = this.#c.below(4); n >= 0; n--) this.#event()
    this.#settle(this.#state.take(this.#now))
    if (this.#c.rarely(12)) this.#restart(true)
    if (this.#c.rarely(12)) this.#restart(false)
    this.#compare()
  }

  #event(): void {
    const { tables } = this.#state
    switch (this.#c.below(12)) {
      case 0:
        this.#remove(this.#services, s => tables.deleteService(s))
        break
      case 1:
        this.#remove(this.#slices, s => tables.deleteSlice(s))
        break
      case 2:
        this.#now += this.#c.of(1000, 60_000, drainMs / 2, drainMs + 1)
        break
      case 3:
        this.#node = this.#c.of(here, { ...here, zone: 'b' }, { ...here, addresses: here.addresses.slice(0, 1) })
        tables.setNode(this.#node)
        break
      case 4:
        this.#list(this.#state)
        break
      case 5:
      case 6:
      case 7:
        this.#put(this.#services, anyService(this.#c), s => tables.applyService(s))
        break
      default:
        this.#put(this.#slices, anySlice(this.#c), s => tables.applySlice(s))
    }
  }

  #put<T extends Service | EndpointSlice>(all: Map<string, T>, object: T, tell: (object: T) => void): void {
    all.set(keyOf(object.metadata), object)
    tell(object)
  }

  #remove<T>(all: Map<string, T>, tell: (object: T) => void): void {
    const [key, object] = [...all][this.#c.below(Math.max(1, all.size))] ?? []
    if (key === undefined || object === undefined) return
    all.delete(key)
    tell(object)
  }

  #list({ tables }: ServiceState): void {
    tables.setNode(this.#node)
    tables.replaceServices([...this.#services.values()])
    tables.replaceSlices([...this.#slices.values()])
  }

  #settle(changes: readonly Change[]): void {
    this.maps.apply(changes)
    for (const map of ['backends', 'frontends'] as const)
      for (const [key, value] of this.maps.get(map)) {
        // All but the state.
        const meaning = value.slice(0, 38)
        const before = this.#meanings.get(map + key) ?? meaning
        assert.equal(meaning, before, `${map} ${key} is given twice`)
        this.#meanings.set(map + key, meaning)
      }
  }

  /** Another process finds the maps as they are. When nothing has happened meanwhile nothing may change, not even numbers. */
  #restart(isQuiet: boolean): void {
    if (!isQuiet) for (let n = this.#c.below(6); n >= 0; n--) this.#event()
    this.#state = new ServiceState(
      restoreIds(map => this.maps.raw(map)),
      this.#now,
      options,
    )
    this.#list(this.#state)
    const changes = this.maps.towards(this.#state.take(this.#now))
    if (isQuiet) assert.deepEqual(changes, [])
    this.#settle(changes)
  }

  #compare(): void {
    this.maps.check()
    const scratch = new ServiceState(nothingRestored, 0, options)
    this.#list(scratch)
    const fresh = new ServiceMaps()
    fresh.apply(scratch.take(0))
    assert.deepEqual(
      this.maps.lines().filter(l => !l.endsWith(' draining')),
      fresh.lines(),
    )
    assert.deepEqual(this.#state.healthChecks().toSorted(byName), scratch.healthChecks().toSorted(byName))
  }
}

function byName(a: HealthCheck, b: HealthCheck): number {
  return `${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1
}

test('whatever has happened, the maps say what the same objects say to a process that begins with them, and every step on the way leads somewhere', () => {
  const seeds = process.env.SEED === undefined ? Array.from({ length: 8 }, (_, i) => i + 1) : [Number(process.env.SEED)]
  for (const seed of seeds) {
    const history = new History(seed)
    for (let i = 0; i < 60; i++) {
      try {
        history.step()
      } catch (e) {
        throw new Error(`SEED=${seed}, step ${i}`, { cause: e })
      }
    }
  }
})
