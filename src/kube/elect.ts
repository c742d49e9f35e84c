// SPDX-License-Identifier: Apache-2.0
import { type Clock, sleepUnlessAborted } from '#lib/clock.ts'
import { AppError, isAppError } from '#lib/errors.ts'
import { microTime } from './events.ts'
import type { Kube } from './port.ts'
import { type Lease, type LeaseSpec, leases } from './reflect/lease.ts'

/** Identities of our controlplane begin with this: the daemon binds addresses by itself only under such a leader (docs/addresses.md). */
export const identityPrefix = 'terway-ts_'

/** Milliseconds; the defaults of client-go, which Terway's controlplane uses on the same Lease. */
export interface ElectionTimes {
  readonly leaseDuration: number
  readonly renewDeadline: number
  readonly retryPeriod: number
}

const defaultTimes: ElectionTimes = { leaseDuration: 15_000, renewDeadline: 10_000, retryPeriod: 2_000 }

export interface ElectionOptions {
  readonly kube: Pick<Kube, 'get' | 'create' | 'replace'>
  readonly clock: Clock
  readonly namespace: string
  readonly name: string
  readonly hostname: string
  readonly times?: ElectionTimes
}

export interface Leadership {
  readonly identity: string
  /** Aborted when leadership ends for any reason; whatever acts as leader must stop then. */
  readonly signal: AbortSignal
  /** Throws `not-leader` unless leadership is certain at this moment. Call it right before each write that only a leader may do. */
  assertLeader(): void
}

/** What the lease said when it last changed, on our own clock: others' clocks are never compared with ours. */
interface Observed {
  readonly text: string
  readonly at: number
}

type Attempt = { readonly won: true } | { readonly won: false; readonly holder: string }

/**
 * Leader election over a coordination.k8s.io Lease, compatible with client-go: a lease may be taken when it was not renewed for its duration
 * *as seen by the taker*, every write carries the resourceVersion, and a holder that cannot renew for renewDeadline gives up earlier than anyone
 * else may take over.
 */
export class Election {
  readonly identity: string
  private readonly kube: Pick<Kube, 'get' | 'create' | 'replace'>
  private readonly clock: Clock
  private readonly namespace: string
  private readonly name: string
  private readonly times: ElectionTimes
  private observed: Observed | undefined
  /** Local time until which nobody else can have taken the lease. */
  private certainUntil = Number.NEGATIVE_INFINITY

  constructor(o: ElectionOptions) {
    this.identity = `${identityPrefix}${o.hostname}_${o.clock.uuid()}`
    this.kube = o.kube
    this.clock = o.clock
    this.namespace = o.namespace
    this.name = o.name
    this.times = o.times ?? defaultTimes
  }

  /**
   * Waits until this process leads, then runs `lead` and renews beside it. Returns true when `lead` returned by itself or `stop` was aborted (also
   * while waiting), false when leadership was lost: the process should exit then. Either way `lead` has returned, and the lease is released.
   */
  async run(lead: (l: Leadership) => Promise<void>, stop: AbortSignal, onWait?: (reason: string) => void): Promise<boolean> {
    if (!(await this.acquire(stop, onWait))) return true
    const lost = new AbortController()
    const ended = new AbortController()
    const leadership: Leadership = {
      identity: this.identity,
      signal: AbortSignal.any([lost.signal, stop]),
      assertLeader: () => this.assertLeader(lost.signal),
    }
    const renewing = this.renew(lost, AbortSignal.any([ended.signal, stop]))
    try {
      await lead(leadership)
    } finally {
      ended.abort(new Error('the leader has finished'))
      await renewing
      // Only now: while `lead` runs nobody else may begin.
      await this.release()
    }
    return !lost.signal.aborted
  }

  private async acquire(stop: AbortSignal, onWait: ((reason: string) => void) | undefined): Promise<boolean> {
    while (!stop.aborted) {
      try {
        const got = await this.attempt()
        if (got.won) return true
        onWait?.(`lease ${this.namespace}/${this.name} is held by ${got.holder}`)
      } catch (e) {
        onWait?.(e instanceof Error ? e.message : String(e))
      }
      // Jitter as in client-go, up to 1.2 periods more, so that candidates do not move in step.
      await sleepUnlessAborted(this.clock, this.times.retryPeriod * (1 + 1.2 * this.clock.random()), stop)
    }
    return false
  }

  /** Renews every retryPeriod until `ended`; aborts `lost` when that did not succeed for renewDeadline, or somebody else holds the lease. */
  private async renew(lost: AbortController, ended: AbortSignal): Promise<void> {
    const { retryPeriod } = this.times
    while (!ended.aborted) {
      // The deadline strikes by timer, also while a request hangs.
      const cancel = this.clock.after(Math.max(0, this.certainUntil - this.clock.now()), () =>
        lost.abort(new AppError('not-leader', `lease ${this.namespace}/${this.name} was not renewed in time`)),
      )
      try {
        await this.clock.sleep(retryPeriod, ended)
        const got = await this.attempt()
        if (!got.won) lost.abort(new AppError('not-leader', `lease ${this.namespace}/${this.name} was taken by ${got.holder}`))
      } catch {
        // Not renewed this time; certainUntil decides when that is too long.
      } finally {
        cancel()
      }
      if (lost.signal.aborted) return
    }
  }

  /**
   * One try to take or renew. Our own term counts from *before* the request, another's from *after* the answer: however late an answer is, both
   * errors are on the safe side.
   */
  private async attempt(): Promise<Attempt> {
    const asked = this.clock.now()
    const present = await this.kube.get(leases, this.name, this.namespace)
    if (present === undefined) return await this.won(asked, () => this.kube.create(leases, this.fresh()))
    this.observe(present)
    const holder = present.spec?.holderIdentity ?? ''
    if (holder !== '' && holder !== this.identity && !this.expired(present)) return { won: false, holder }
    return await this.won(asked, () => this.kube.replace(leases, { ...present, spec: this.renewed(present.spec ?? {}) }))
  }

  private async won(asked: number, write: () => Promise<Lease>): Promise<Attempt> {
    try {
      const written = await write()
      this.observe(written)
      this.certainUntil = asked + this.times.renewDeadline
      return { won: true }
    } catch (e) {
      // Somebody else wrote between our read and our write; who, the next read tells.
      if (isAppError(e) && (e.code === 'conflict' || e.code === 'already-exists') && this.certainUntil < asked)
        return { won: false, holder: 'another candidate' }
      throw e
    }
  }

  /** The clock of an observation starts when a changed record is seen for the first time. */
  private observe(lease: Lease): void {
    const text = JSON.stringify(lease.spec ?? {})
    if (this.observed?.text !== text) this.observed = { text, at: this.clock.now() }
  }

  private expired(present: Lease): boolean {
    const duration = (present.spec?.leaseDurationSeconds ?? this.times.leaseDuration / 1000) * 1000
    return this.clock.now() >= (this.observed?.at ?? this.clock.now()) + duration
  }

  private fresh(): Lease {
    const metadata = { name: this.name, namespace: this.namespace }
    return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec: { ...this.renewed({}), leaseTransitions: 0 } }
  }

  private renewed(old: LeaseSpec): LeaseSpec {
    const time = microTime(this.clock.wall())
    const ours = old.holderIdentity === this.identity
    return {
      ...old,
      holderIdentity: this.identity,
      leaseDurationSeconds: Math.ceil(this.times.leaseDuration / 1000),
      acquireTime: ours && old.acquireTime !== undefined ? old.acquireTime : time,
      renewTime: time,
      leaseTransitions: (old.leaseTransitions ?? 0) + (ours ? 0 : 1),
    }
  }

  private assertLeader(lost: AbortSignal): void {
    if (!lost.aborted && this.clock.now() < this.certainUntil) return
    throw new AppError('not-leader', `${this.identity} does not hold lease ${this.namespace}/${this.name} for certain any more`)
  }

  /**
   * The duration is cut to a second, so that the next one may start soon. client-go empties the holder too; ours stays named,
   * because the daemons bind addresses by themselves for as long as a controller of ours led last (docs/addresses.md). Best effort.
   */
  private async release(): Promise<void> {
    this.certainUntil = Number.NEGATIVE_INFINITY
    try {
      const present = await this.kube.get(leases, this.name, this.namespace)
      if (present?.spec?.holderIdentity !== this.identity) return
      const time = microTime(this.clock.wall())
      const spec = { ...present.spec, leaseDurationSeconds: 1, acquireTime: time, renewTime: time }
      await this.kube.replace(leases, { ...present, spec })
    } catch {
      // It expires by itself.
    }
  }
}
