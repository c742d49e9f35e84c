// SPDX-License-Identifier: Apache-2.0
import { type Context, currentBinding, liveWithoutLease } from '#daemon/context.ts'
import { crashPoint } from '#daemon/crash-point.ts'
import { wantedRuntime } from '#daemon/runtime-status.ts'
import type { LedgerChange } from '#ipam/ledger.ts'
import { isCooling } from '#ipam/node-pool.ts'
import { answerMarks, boundPods, localBindingAnnotation, localBindingVersion, recordsOf } from '#ipam/release.ts'
import { type NodeRuntime, type NodeRuntimeStatus, nodeRuntimes } from '#kube/crd/node-runtime.ts'
import { isAppError, messageOf } from '#lib/errors.ts'
import { diffMerge } from '#lib/merge-patch.ts'
import { familyOf, type Ip } from '#net/ip.ts'

/** Longest time between tries after failures, ms. */
const maxPause = 30_000

/**
 * The daemon's side of the conversation with the controller: answers marks (ledger first) and keeps NodeRuntime equal to
 * what the ledger says, at most one write per interval, as merge patches. What it writes it reads back: a cluster whose CRD
 * drops the added fields gets Terway's protocol.
 */
export class Report {
  readonly #ctx: Context
  readonly #gone: (podId: string, uid: string) => boolean
  #running = false
  #again = false
  #isPoked = false
  readonly #stop = new AbortController()
  #nextWrite = 0

  constructor(ctx: Context, gone: (podId: string, uid: string) => boolean) {
    this.#ctx = ctx
    this.#gone = gone
  }

  /** Something may have changed. Marks are answered at once, but nobody's ADD waits for that; the write is coalesced. */
  poke(): void {
    if (this.#isPoked) return
    this.#isPoked = true
    this.#ctx.clock.after(0, () => {
      this.#isPoked = false
      this.#begin()
    })
  }

  #begin(): void {
    if (this.#stop.signal.aborted) return
    this.#answer()
    this.#again = true
    if (this.#running) return
    this.#running = true
    void this.#loop()
  }

  stop(): void {
    this.#stop.abort()
  }

  #answer(): void {
    const { cluster, book, clock, log, observer } = this.#ctx
    if (cluster.node === undefined) return
    const mode = currentBinding(this.#ctx).mode
    const changes = answerMarks(cluster.node, book, { mode, now: clock.wall(), liveWithoutLease: liveWithoutLease(this.#ctx) })
    try {
      book.commit([...changes, ...this.#forgettable()])
      if (changes.length === 0) return
      crashPoint('marks-answered')
      log.info({ changes }, 'marks answered')
      for (const ip of acked(changes)) observer.disposed(familyOf(ip))
    } catch (err) {
      log.error({ err }, 'answers to marks cannot be recorded, so they are not given')
    }
  }

  /** Cooling records of addresses that have rested and are not on the node any more. */
  #forgettable(): readonly LedgerChange[] {
    const { cluster, book, clock, options } = this.#ctx
    if (cluster.node === undefined) return []
    const shown = recordsOf(cluster.node)
    return book
      .cooling()
      .filter(c => !shown.has(c.ip) && !isCooling(c.since, clock.wall(), options.coolingFloor))
      .map((c): LedgerChange => ({ drop: 'cooling', ip: c.ip }))
  }

  async #loop(): Promise<void> {
    const { clock, log, options } = this.#ctx
    let pause = options.reportInterval
    while (this.#again && !this.#stop.signal.aborted) {
      const wait = this.#nextWrite - clock.now()
      try {
        if (wait > 0) await clock.sleep(wait, this.#stop.signal)
        this.#again = false
        if (await this.#write()) this.#nextWrite = clock.now() + options.reportInterval
        pause = options.reportInterval
      } catch (err) {
        if (this.#stop.signal.aborted) break
        log.warn({ err }, `NodeRuntime cannot be written: ${messageOf(err)}`)
        this.#ctx.facts.trace.set('report', `failing: ${messageOf(err)}`)
        // Refetched by the watch; a lost object is made again.
        if (isAppError(err) && err.code === 'not-found') this.#ctx.cluster.runtime = undefined
        this.#nextWrite = clock.now() + pause * (1 + clock.random())
        pause = Math.min(pause * 2, maxPause)
        this.#again = true
      }
    }
    this.#running = false
  }

  /** Whether something was written. */
  async #write(): Promise<boolean> {
    const { kube, cluster, options, facts, clock } = this.#ctx
    const present = cluster.runtime ?? (await this.#create())
    const name = options.nodeName
    const annotated = present.metadata.annotations?.[localBindingAnnotation] === localBindingVersion
    if (!annotated) {
      const body = { metadata: { annotations: { [localBindingAnnotation]: localBindingVersion } } }
      await cluster.wrote(() => kube.patch(nodeRuntimes, name, { type: 'merge', body }))
    }
    const wanted = this.#wanted(present.status)
    const patch = diffMerge({ pods: present.status?.pods, releases: present.status?.releases }, wanted)
    if (patch === undefined) {
      this.#readBack(present.status, wanted)
      return !annotated
    }
    crashPoint('report-before')
    const write = () => kube.patch(nodeRuntimes, name, { type: 'merge', body: { status: patch }, subresource: 'status' })
    const written = await cluster.wrote(write)
    crashPoint('report-written')
    facts.trace.set('report', `written ${new Date(clock.wall()).toISOString()}`)
    this.#readBack(written.status, wanted)
    return true
  }

  #wanted(present: NodeRuntimeStatus | undefined): NodeRuntimeStatus {
    const { book, cluster, clock } = this.#ctx
    const bound = cluster.node === undefined ? new Map<string, string>() : boundPods(cluster.node)
    return wantedRuntime({ leases: book.leases(), releases: book.releases(), present, bound, gone: this.#gone, now: clock.wall() })
  }

  /** The compatibility rule's third condition: every added field that was to be there is there. */
  #readBack(found: NodeRuntimeStatus | undefined, wanted: NodeRuntimeStatus): void {
    const pods = Object.entries(wanted.pods ?? {})
    const kept =
      found?.releases !== undefined &&
      pods.every(([uid, pod]) => pod.containerID === undefined || found.pods?.[uid]?.containerID === pod.containerID)
    const now = kept ? 'kept' : 'pruned'
    if (this.#ctx.facts.readBack === now) return
    this.#ctx.facts.readBack = now
    this.#ctx.log.info({ readBack: now }, "NodeRuntime's added fields after the first write")
    this.#ctx.poolChanged.fire()
  }

  async #create(): Promise<NodeRuntime> {
    const { kube, cluster, options } = this.#ctx
    const name = options.nodeName
    const found = await kube.get(nodeRuntimes, name)
    if (found !== undefined) return cluster.wrote(async () => found)
    const uid = cluster.k8sNode?.metadata.uid
    const owner = uid === undefined ? {} : { ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid, controller: true }] }
    const annotations = { [localBindingAnnotation]: localBindingVersion }
    const object: NodeRuntime = {
      apiVersion: 'network.alibabacloud.com/v1beta1',
      kind: 'NodeRuntime',
      metadata: { name, labels: { name }, annotations, ...owner },
      spec: {},
    }
    return cluster.wrote(() => kube.create(nodeRuntimes, object))
  }
}

function acked(changes: readonly LedgerChange[]): readonly Ip[] {
  return changes.flatMap(c => ('put' in c && c.put === 'release' && c.release.answer === 'acked' ? [c.release.ip] : []))
}
