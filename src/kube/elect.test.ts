// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KubeModel } from '../../test/support/kube-model.ts'
import { VirtualClock } from '../../test/support/virtual-clock.ts'
import { Election, identityPrefix, type Leadership } from './elect.ts'
import { type Lease, leases } from './reflect/lease.ts'

const place = { namespace: 'kube-system', name: 'terway-controlplane' }

/** A process that wants to lead, again and again, until `stop`. */
class Candidate {
  leadership: Leadership | undefined
  readonly terms: boolean[] = []
  readonly stop = new AbortController()
  readonly done: Promise<void>

  constructor(model: KubeModel, clock: VirtualClock, name: string) {
    this.done = this.campaign(model, clock, name)
  }

  private async campaign(model: KubeModel, clock: VirtualClock, name: string): Promise<void> {
    while (!this.stop.signal.aborted) {
      const election = new Election({ kube: model.client(name), clock, hostname: name, ...place })
      const kept = await election.run(async l => {
        this.leadership = l
        await new Promise<void>(resolve => l.signal.addEventListener('abort', () => resolve(), { once: true }))
        this.leadership = undefined
      }, this.stop.signal)
      this.terms.push(kept)
    }
  }

  leads(): boolean {
    try {
      this.leadership?.assertLeader()
      return this.leadership !== undefined
    } catch {
      return false
    }
  }
}

test('whatever fails, two never lead at once, and somebody leads when all is well again', async () => {
  for (let seed = 1; seed <= 50; seed++) {
    const clock = new VirtualClock(seed)
    const model = new KubeModel(clock)
    const names = ['a', 'b', 'c']
    const candidates = names.map(n => new Candidate(model, clock, n))
    const check = () => {
      const leaders = names.filter((_, i) => candidates[i]?.leads())
      assert.ok(leaders.length <= 1, `seed ${seed}: ${leaders.join(' and ')} lead at ${clock.now()} ms`)
    }
    model.faults.latency = () => (clock.random() < 0.1 ? clock.random() * 12_000 : clock.random() * 100)
    model.faults.decide = () => (clock.random() < 0.2 ? 'lost' : clock.random() < 0.1 ? 'unavailable' : undefined)
    for (let round = 0; round < 10; round++) {
      const victim = names[Math.floor(clock.random() * 3)] ?? 'a'
      model.faults.unavailable(true, victim)
      await clock.advance(clock.random() * 40_000, check)
      model.faults.unavailable(false, victim)
    }
    model.faults.latency = () => 5
    model.faults.decide = () => undefined
    await clock.advance(60_000, check)
    assert.equal(candidates.filter(c => c.leads()).length, 1, `seed ${seed}: nobody leads`)
    assert.match(model.read(leases, place.name, place.namespace)?.spec?.holderIdentity ?? '', new RegExp(`^${identityPrefix}[abc]_`))
    for (const c of candidates) c.stop.abort()
    await clock.advance(1000, check)
    await Promise.all(candidates.map(c => c.done))
  }
})

test('a leader that cannot reach the API server gives up before another may begin', async () => {
  const clock = new VirtualClock()
  const model = new KubeModel(clock)
  const a = new Candidate(model, clock, 'a')
  await clock.advance(100)
  const b = new Candidate(model, clock, 'b')
  await clock.advance(20_000)
  assert.deepEqual([a.leads(), b.leads()], [true, false])
  const cut = clock.now()
  model.faults.unavailable(true, 'a')
  let gaveUp = 0
  let began = 0
  await clock.advance(40_000, () => {
    if (!a.leads() && gaveUp === 0) gaveUp = clock.now()
    if (b.leads() && began === 0) began = clock.now()
  })
  assert.ok(gaveUp - cut <= 10_000, `gave up after ${gaveUp - cut} ms`)
  assert.ok(began >= gaveUp + 3_000 && began - cut <= 22_000, `the next began after ${began - cut} ms`)
  assert.deepEqual(a.terms, [false])
  for (const c of [a, b]) c.stop.abort()
})

test('a leader that stops releases the lease, and the next begins soon; until then the last one stays named', async () => {
  const clock = new VirtualClock()
  const model = new KubeModel(clock)
  const a = new Candidate(model, clock, 'a')
  await clock.advance(100)
  const b = new Candidate(model, clock, 'b')
  await clock.advance(5_000)
  a.stop.abort()
  await clock.advance(10_000)
  assert.deepEqual([a.leads(), b.leads(), a.terms], [false, true, [true]])
  assert.equal(model.read(leases, place.name, place.namespace)?.spec?.leaseTransitions, 1)
  b.stop.abort()
  await clock.advance(100)
  const released = model.read(leases, place.name, place.namespace)?.spec
  assert.deepEqual([released?.holderIdentity?.slice(0, 12), released?.leaseDurationSeconds], [`${identityPrefix}b_`, 1])
})

test('the lease of another implementation is respected until it was not renewed for its duration, whatever its clock says', async () => {
  const clock = new VirtualClock()
  const model = new KubeModel(clock)
  const theirs = (renewTime: string): Lease => ({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: place,
    spec: {
      holderIdentity: 'terway-controlplane-7d9f_0b1c',
      leaseDurationSeconds: 15,
      acquireTime: renewTime,
      renewTime,
      leaseTransitions: 4,
    },
  })
  // A clock that is a year behind: the renewTime looks long expired.
  for (let i = 0; i < 10; i++) {
    model.put(leases, theirs(`2025-01-01T00:00:${String(i * 2).padStart(2, '0')}.000000Z`))
    if (i === 0) void new Candidate(model, clock, 'a')
    await clock.advance(2_000)
  }
  const last = clock.now() - 2_000
  let began = 0
  await clock.advance(30_000, () => {
    if (began === 0 && model.read(leases, place.name, place.namespace)?.spec?.holderIdentity?.startsWith(identityPrefix))
      began = clock.now()
  })
  assert.ok(began - last >= 15_000 && began - last <= 22_000, `took over ${began - last} ms after the last renewal`)
  assert.equal(model.read(leases, place.name, place.namespace)?.spec?.leaseTransitions, 5)
})
