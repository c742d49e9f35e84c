// SPDX-License-Identifier: Apache-2.0
import type { Deps, Options } from '#daemon/deps.ts'
import { isPodOf, isTerminal, judgePod, type KnownMode, type PodInfo, type PodVerdict } from '#daemon/pod.ts'
import { Signal } from '#daemon/signal.ts'
import type { Watch } from '#kube/port.ts'
import { type Pod, pods } from '#kube/reflect/pod.ts'
import { messageOf } from '#lib/errors.ts'
import { cniError } from '#rpc/cni-error.ts'
import type { PodArgs } from '#rpc/cni-message.ts'

/** Pods that are gone and still asked about; many more than a node's leases and bound addresses. */
const mostAbsent = 2_000

/** The pods of this node as the watch shows them, and since when others are gone. */
export class Pods {
  readonly changed = new Signal()
  readonly #deps: Pick<Deps, 'kube' | 'clock' | 'log'>
  readonly #options: Options
  readonly #byId = new Map<string, Pod>()
  readonly #uids = new Set<string>()
  /** Monotonic time at which a UID was first asked about and not there; forgotten when it comes back, or nobody asks any more. */
  readonly #absentSince = new Map<string, number>()
  readonly #mode: () => KnownMode
  #watch: Watch | undefined
  #synced = false

  constructor(deps: Pick<Deps, 'kube' | 'clock' | 'log'>, options: Options, mode: () => KnownMode = () => 'shared') {
    this.#deps = deps
    this.#options = options
    this.#mode = mode
  }

  /** Resolves after the first list. */
  async start(): Promise<void> {
    this.#watch = this.#deps.kube.watch(
      pods,
      { fieldSelector: `spec.nodeName=${this.#options.nodeName}` },
      {
        replaced: items => {
          this.#byId.clear()
          this.#uids.clear()
          for (const pod of items) this.#put(pod)
          this.#heard()
        },
        applied: pod => {
          this.#put(pod)
          this.#heard()
        },
        deleted: pod => {
          const known = this.#byId.get(idOf(pod))
          if (known?.metadata.uid === pod.metadata.uid) this.#byId.delete(idOf(pod))
          this.#uids.delete(pod.metadata.uid ?? '')
          this.#heard()
        },
        interrupted: err => this.#deps.log.warn({ err, watch: 'pods' }, 'watch interrupted'),
      },
    )
    await this.#watch.synced
    this.#synced = true
  }

  stop(): void {
    this.#watch?.stop()
  }

  get(id: string): Pod | undefined {
    return this.#byId.get(id)
  }

  all(): readonly Pod[] {
    return [...this.#byId.values()]
  }

  /** In the API, on this node, and not finished. `uid` may be a static pod's hash. */
  isLive(id: string, uid: string | undefined): boolean {
    const pod = this.#byId.get(id)
    return pod !== undefined && isPodOf(pod, uid) && !isTerminal(pod)
  }

  /**
   * Milliseconds for which the pod has been missing in the watch, counted from the first question; 0 while it is there. The
   * watch may be behind: confirmGone asks the API server itself.
   */
  goneFor(id: string, uid: string): number {
    const pod = this.#byId.get(id)
    if (this.#uids.has(uid) || (pod !== undefined && isPodOf(pod, uid)) || !this.#synced) {
      this.#absentSince.delete(uid)
      return 0
    }
    const now = this.#deps.clock.now()
    const since = this.#absentSince.get(uid) ?? now
    // Put again, so that the first one is always the one that was not asked about for longest.
    this.#absentSince.delete(uid)
    this.#absentSince.set(uid, since)
    for (const first of this.#absentSince.keys()) if (this.#absentSince.size > mostAbsent) this.#absentSince.delete(first)
    return now - since
  }

  /** Whether the API server itself says that the pod is gone or another one. Throws when it cannot be asked. */
  async confirmGone(namespace: string, name: string, uid: string): Promise<boolean> {
    const pod = await this.#deps.kube.get(pods, name, namespace)
    return pod === undefined || !isPodOf(pod, uid)
  }

  /**
   * The pod of a sandbox: from memory, else waits for the watch, then asks the API server once. Throws `try-again` while
   * it cannot be found, `pod-refused` when Terway does not serve it.
   */
  async require(args: PodArgs, abort: AbortSignal): Promise<PodInfo> {
    const { clock } = this.#deps
    const id = `${args.namespace}/${args.name}`
    const deadline = clock.now() + this.#options.podWait
    for (;;) {
      const pod = this.#byId.get(id)
      const verdict = pod !== undefined && isPodOf(pod, args.uid) ? this.#judge(pod) : undefined
      if (verdict?.kind === 'serve') return verdict.pod
      if (verdict?.kind === 'refuse' && !verdict.forNow) throw cniError('pod-refused', verdict.reason)
      const left = deadline - clock.now()
      abort.throwIfAborted()
      if (left <= 0) break
      await this.changed.next(clock, left, abort)
    }
    return this.#ask(args)
  }

  async #ask(args: PodArgs): Promise<PodInfo> {
    const id = `${args.namespace}/${args.name}`
    const waited = `after ${this.#options.podWait} ms`
    let pod: Pod | undefined
    try {
      pod = await this.#deps.kube.get(pods, args.name, args.namespace)
    } catch (e) {
      throw cniError('try-again', `pod ${id} is not known on this node ${waited}, and the API server cannot be asked: ${messageOf(e)}`)
    }
    if (pod === undefined) throw cniError('try-again', `pod ${id} is not in the API server ${waited}`)
    if (!isPodOf(pod, args.uid)) {
      throw cniError('try-again', `pod ${id} in the API server has UID ${pod.metadata.uid}, the sandbox is for ${args.uid}`)
    }
    const verdict = this.#judge(pod)
    if (verdict.kind === 'serve') return verdict.pod
    throw cniError(verdict.forNow ? 'try-again' : 'pod-refused', verdict.reason)
  }

  #judge(pod: Pod): PodVerdict {
    return judgePod(pod, this.#options.nodeName, this.#mode())
  }

  #put(pod: Pod): void {
    const before = this.#byId.get(idOf(pod))
    if (before !== undefined) this.#uids.delete(before.metadata.uid ?? '')
    this.#byId.set(idOf(pod), pod)
    this.#uids.add(pod.metadata.uid ?? '')
  }

  #heard(): void {
    this.changed.fire()
  }
}

function idOf(pod: Pod): string {
  return `${pod.metadata.namespace}/${pod.metadata.name}`
}
