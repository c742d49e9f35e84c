// SPDX-License-Identifier: Apache-2.0
import { promises } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { unpackEntries } from '#kernel/bpf/entries.ts'
import type { MapSizes } from '#kernel/bpf/load.ts'
import type { MapName } from '#kernel/bpf/maps.ts'
import { nodePins } from '#kernel/bpf/pins.ts'
import { added, type FlowTable, type Survey } from '#kernel/bpf/survey.ts'
import { Lane } from '#kernel/lane.ts'
import type { NetnsPath } from '#kernel/names.ts'
import type { KernelOp } from '#kernel/op.ts'
import { type ApplyResult, type ConnectedSocket, type Doomed, type Kernel, KernelError, type KernelEvent } from '#kernel/port.ts'
import type { NsQuery } from '#kernel/state.ts'
import { unpost, type WorkerSetup } from '#kernel/worker/protocol.ts'
import { realClock } from '#lib/clock.ts'

const restartDelayMs = 1000

export interface KernelOptions {
  /** A namespace that plays the host: tests run against one of their own. Default: the process's namespace. */
  readonly hostNetns?: string
  /** Where a writable proc is mounted, default /proc. In a container /proc/sys is read-only: mount the host's /proc and say `/host/proc`. */
  readonly procRoot?: string
  /** The directory of our pins, on a BPF file system. Default: /sys/fs/bpf/terway. */
  readonly pins?: string
  /** The file of the programs. Default: terway-bpf.json beside the bundle, or in dist/ for the sources. */
  readonly object?: string
  /** Where programs meet sockets: tests use a cgroup of their own. Default: the root of cgroup 2, wherever it is mounted. */
  readonly cgroup?: string
  /** The worker's entry. Default: worker-main.ts beside this file, or terwayd-netlink.mjs beside the bundle. */
  readonly workerUrl?: URL
}

/** The real kernel. Starts the quick thread at once; rejects with KernelError `kernel-worker` when it cannot work. */
export async function makeKernel(options: KernelOptions = {}): Promise<Kernel> {
  // Threads of libuv's pool inherit the namespace of whichever thread uses the pool first: let that be this one.
  await promises.stat('/')
  const kernel = new RealKernel(options)
  await kernel.start()
  return kernel
}

const fromSource = import.meta.url.endsWith('.ts')

function defaultWorkerUrl(): URL {
  return new URL(fromSource ? './worker-main.ts' : './terwayd-netlink.mjs', import.meta.url)
}

function defaultObject(): string {
  return fileURLToPath(new URL(fromSource ? '../../dist/terway-bpf.json' : './terway-bpf.json', import.meta.url))
}

/** Holds one lane and starts it (again) when it is needed. */
class LaneSlot {
  readonly #start: () => Promise<Lane>
  #lane: Promise<Lane> | undefined

  constructor(start: () => Promise<Lane>) {
    this.#start = start
  }

  async get(): Promise<Lane> {
    const known = this.#lane
    const lane = await this.present()
    if (lane !== undefined) return lane
    if (this.#lane === known) this.#lane = this.#start()
    return this.#lane ?? this.get()
  }

  /** The one that there is. */
  async present(): Promise<Lane | undefined> {
    const lane = await this.#lane?.catch(() => undefined)
    return lane === undefined || lane.ended ? undefined : lane
  }

  async close(): Promise<void> {
    const lane = await this.#lane?.catch(() => undefined)
    // A thread ends when its read for notifications does.
    await lane?.call('unwatch', undefined).catch(() => undefined)
    await lane?.close()
  }
}

class RealKernel implements Kernel {
  readonly #watchers = new Set<(events: readonly KernelEvent[]) => void>()
  readonly #quick: LaneSlot
  /** Deletions and programs; started at first use, for it takes memory. */
  readonly #slow: LaneSlot
  #closed = false

  constructor({ hostNetns, procRoot = '/proc', pins = nodePins, object = defaultObject(), cgroup, workerUrl }: KernelOptions) {
    const setup: WorkerSetup = {
      procRoot,
      pins,
      object,
      ...(hostNetns === undefined ? {} : { hostNetns }),
      ...(cgroup === undefined ? {} : { cgroup }),
    }
    const start = () => Lane.start(workerUrl ?? defaultWorkerUrl(), setup, { events: e => this.#tell(e), ended: () => this.#watchAgain() })
    this.#quick = new LaneSlot(start)
    this.#slow = new LaneSlot(async () => this.#unheard(await start()))
  }

  async start(): Promise<void> {
    await this.#quick.get()
  }

  async observe(queries: readonly NsQuery[]) {
    return (await this.#lane(this.#quick)).call('observe', queries)
  }

  async apply(ops: readonly KernelOp[]): Promise<ApplyResult> {
    const blocks = ops.some(op => op.op === 'link-del' || op.op === 'link-move')
    const { done, failed } = await (await this.#lane(blocks ? this.#slow : this.#quick)).call('apply', ops)
    return { done: ops.slice(0, done), ...(failed === undefined ? {} : { failed: unpost(failed) }) }
  }

  async reapLinks(doomed: readonly Doomed[]) {
    return (await this.#lane(this.#slow)).call('reap', doomed)
  }

  monitor(callback: (events: readonly KernelEvent[]) => void): () => void {
    this.#watchers.add(callback)
    if (this.#watchers.size === 1) void this.#watch()
    return () => {
      this.#watchers.delete(callback)
      if (this.#watchers.size === 0) void this.#watch()
    }
  }

  async probePrograms() {
    return (await this.#lane(this.#slow)).call('probe', undefined)
  }

  async loadPrograms(sizes: MapSizes = {}) {
    return (await this.#lane(this.#slow)).call('load', sizes)
  }

  async unloadPrograms(): Promise<void> {
    const quick = await this.#lane(this.#quick)
    // A node without programs finds nothing to do: that is worth no thread.
    const slow = await this.#slow.present()
    await (slow ?? quick).call('unload', undefined)
    if (slow !== undefined) await quick.call('release', undefined)
  }

  async mapEntries(map: MapName) {
    const entries: ReturnType<typeof unpackEntries>[] = []
    for (let after: Uint8Array | undefined; ; ) {
      const { next, ...slice } = await (await this.#lane(this.#slow)).call('slice', { map, after })
      entries.push(unpackEntries(slice))
      if (next === undefined) return entries.flat()
      after = next
    }
  }

  async surveyFlows(table: FlowTable) {
    let all: Survey = { used: 0, fresh: 0, removed: 0, live: new Map() }
    for (let after: Uint8Array | undefined; ; ) {
      const lane = await this.#lane(this.#slow)
      const found = await lane.call('survey', { table, after })
      if (found === undefined) return { ...all, room: 0 }
      all = added(all, found)
      after = found.next
      if (after !== undefined) continue
      if (table === 'flows') await lane.call('grant', all)
      return { ...all, room: found.room }
    }
  }

  async countEntries(map: MapName) {
    let all = 0
    for (let after: Uint8Array | undefined; ; ) {
      const { used, room, next } = await (await this.#lane(this.#slow)).call('count', { map, after })
      all += used
      if (next === undefined) return { used: all, room }
      after = next
    }
  }

  async translatedFlows() {
    return (await this.#lane(this.#slow)).call('translated', undefined)
  }

  async connectedSockets(pods: readonly NetnsPath[]) {
    return (await this.#lane(this.#quick)).call('connected', pods)
  }

  async destroySockets(sockets: readonly ConnectedSocket[]) {
    return (await (await this.#lane(this.#quick)).call('destroy', sockets)).ended
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#watchers.clear()
    await Promise.all([this.#quick.close(), this.#slow.close()])
  }

  #lane(slot: LaneSlot): Promise<Lane> {
    return this.#closed ? Promise.reject(new KernelError('kernel-worker', 'the kernel port is closed')) : slot.get()
  }

  #tell(events: readonly KernelEvent[]): void {
    for (const watcher of this.#watchers) watcher(events)
  }

  /** The quick lane, where it watches, tells of nothing that this one does. */
  async #unheard(slow: Lane): Promise<Lane> {
    if (this.#watchers.size > 0) await (await this.#quick.get()).call('watch', [slow.portId])
    return slow
  }

  /** Makes the quick lane watch exactly while somebody listens; what changed before that may be unknown to them. A failure ends the lane or is the lane's end, which leads to `#watchAgain`. */
  async #watch(): Promise<void> {
    if (this.#closed) return
    try {
      const [quick, slow] = [await this.#quick.get(), await this.#slow.present()]
      if (this.#watchers.size === 0) {
        await quick.call('unwatch', undefined)
        return
      }
      await quick.call('watch', slow === undefined ? [] : [slow.portId])
      this.#tell([{ kind: 'lost' }])
    } catch {
      this.#watchAgain()
    }
  }

  /** After the end of a thread: nobody listens, and its port number is another now. */
  #watchAgain(): void {
    if (this.#closed || this.#watchers.size === 0) return
    realClock.after(restartDelayMs, () => void this.#watch())
  }
}
