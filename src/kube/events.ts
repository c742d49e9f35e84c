// SPDX-License-Identifier: Apache-2.0
import * as Type from 'typebox'
import type { Clock } from '#lib/clock.ts'
import { isAppError } from '#lib/errors.ts'
import type { EventInput, Kube, KubeObject, Resource } from './port.ts'
import { resource } from './resource.ts'

interface EventObject extends KubeObject {
  readonly [field: string]: unknown
}

const body = Type.Object({})
const shared = { version: 'v1', plural: 'events', kind: 'Event', namespaced: true, unknown: 'keep', body } as const
/** events.k8s.io/v1, and core v1 for a role that grants only that group (Terway's chart does). */
export const newEvents: Resource<EventObject> = resource({ ...shared, group: 'events.k8s.io' })
export const coreEvents: Resource<EventObject> = resource({ ...shared, group: '' })

export interface Reporter {
  readonly controller: string
  readonly instance: string
}

/** At most one identical event in this time (milliseconds); repeats are counted and told by the next one. */
const repeatAfter = 60_000
/** A process may send this many events at once, and one more each second. */
const burst = 25
const perSecond = 1
const maxSeries = 1000
/** Events about cluster-scoped objects are kept here, where kubectl describe looks for them. */
const clusterNamespace = 'default'

interface Series {
  readonly name: string
  readonly namespace: string
  count: number
  sentAt: number
}

/** Best effort: an event is for people; nothing waits for it and nothing fails with it. */
export class EventRecorder {
  private readonly kube: Pick<Kube, 'create' | 'patch'>
  private readonly clock: Clock
  private readonly reporter: Reporter
  private readonly series = new Map<string, Series>()
  private tokens = burst
  private filledAt: number
  private core = false

  constructor(kube: Pick<Kube, 'create' | 'patch'>, clock: Clock, reporter: Reporter) {
    this.kube = kube
    this.clock = clock
    this.reporter = reporter
    this.filledAt = clock.now()
  }

  report(e: EventInput): void {
    const now = this.clock.now()
    const key = JSON.stringify([e.about.kind, e.about.namespace, e.about.name, e.about.uid, e.type, e.reason, e.message, e.action])
    const known = this.series.get(key)
    if (known !== undefined) {
      known.count++
      if (now - known.sentAt < repeatAfter) return
    }
    if (!this.takeToken(now)) return
    void this.send(e, key, known, now).catch(() => undefined)
  }

  private async send(e: EventInput, key: string, known: Series | undefined, now: number): Promise<void> {
    if (known !== undefined) {
      known.sentAt = now
      if (await this.repeat(known)) return
    }
    const namespace = e.about.namespace ?? clusterNamespace
    const next = { name: `${e.about.name}.${this.clock.uuid().replaceAll('-', '').slice(0, 16)}`, namespace, count: 1, sentAt: now }
    this.series.delete(key)
    this.series.set(key, next)
    const oldest = this.series.keys().next().value
    if (this.series.size > maxSeries && oldest !== undefined) this.series.delete(oldest)
    try {
      await this.create(e, next)
    } catch (error) {
      const noSuchGroup = isAppError(error) && (error.code === 'forbidden' || error.code === 'not-found')
      if (this.core || !noSuchGroup) throw error
      this.core = true
      await this.create(e, next)
    }
  }

  /** False when the event is no more (the API server drops events after an hour): a new one begins. */
  private async repeat(s: Series): Promise<boolean> {
    const time = microTime(this.clock.wall())
    const patch = this.core ? { count: s.count, lastTimestamp: seconds(time) } : { series: { count: s.count, lastObservedTime: time } }
    try {
      await this.kube.patch(this.core ? coreEvents : newEvents, s.name, { type: 'merge', body: patch }, s.namespace)
      return true
    } catch (e) {
      if (isAppError(e) && e.code === 'not-found') return false
      throw e
    }
  }

  private async create(e: EventInput, s: Series): Promise<void> {
    const metadata = { name: s.name, namespace: s.namespace }
    const time = microTime(this.clock.wall())
    const { type, reason, action } = e
    const note = e.message.slice(0, 1024)
    const { controller, instance } = this.reporter
    if (this.core) {
      const times = { firstTimestamp: seconds(time), lastTimestamp: seconds(time), count: 1 }
      const source = { component: controller, host: instance }
      const object = { apiVersion: 'v1', kind: 'Event', metadata, involvedObject: e.about, type, reason, message: note, source, ...times }
      await this.kube.create<EventObject>(coreEvents, object)
      return
    }
    const from = { reportingController: controller, reportingInstance: instance.slice(0, 128), eventTime: time }
    const object = { apiVersion: 'events.k8s.io/v1', kind: 'Event', metadata, regarding: e.about, type, reason, note, action, ...from }
    await this.kube.create<EventObject>(newEvents, object)
  }

  private takeToken(now: number): boolean {
    this.tokens = Math.min(burst, this.tokens + ((now - this.filledAt) / 1000) * perSecond)
    this.filledAt = now
    if (this.tokens < 1) return false
    this.tokens--
    return true
  }
}

/** metav1.MicroTime. */
export function microTime(wall: number): string {
  return new Date(wall).toISOString().replace('Z', '000Z')
}

function seconds(time: string): string {
  return `${time.slice(0, 19)}Z`
}
