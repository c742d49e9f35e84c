// SPDX-License-Identifier: Apache-2.0
import { Worker } from 'node:worker_threads'
import { KernelError, type KernelEvent } from '#kernel/port.ts'
import { type Calls, type Reply, unpost, type WorkerSetup } from '#kernel/worker/protocol.ts'
import { messageOf } from '#lib/errors.ts'

interface Waiting {
  resolve(result: never): void
  reject(e: unknown): void
}

/** A small young generation, however the process is started: a lane's garbage is messages. Its old generation is not limited here, for a host may have many routes. */
const resourceLimits = { maxYoungGenerationSizeMb: 3 }

/** What a lane tells without being asked. */
export interface LaneReports {
  events(events: readonly KernelEvent[]): void
  /** The thread is gone, by `close` or by accident. */
  ended(): void
}

/** One worker thread, seen from the main thread: calls go out in order and come back as promises. */
export class Lane {
  readonly portId: number
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  readonly #reports: LaneReports
  #nextId = 0
  #ended: KernelError | undefined

  private constructor(worker: Worker, portId: number, reports: LaneReports) {
    this.#worker = worker
    this.portId = portId
    this.#reports = reports
    worker.on('message', (reply: Reply) => this.#receive(reply))
    worker.on('error', e => this.#end(messageOf(e)))
    worker.on('exit', () => this.#end('exited'))
    worker.unref()
  }

  /** Resolves when the thread is at home and ready; rejects with `kernel-worker` when it cannot be, for lack of a capability for instance. */
  static start(url: URL, setup: WorkerSetup, reports: LaneReports): Promise<Lane> {
    return new Promise((resolve, reject) => {
      const worker = new Worker(url, { workerData: setup, name: 'netlink', resourceLimits })
      const fail = (why: string) => reject(new KernelError('kernel-worker', `the netlink thread ${url} did not start: ${why}`))
      worker.once('error', e => fail(messageOf(e)))
      worker.once('exit', code => fail(`exit code ${code}`))
      worker.once('message', (reply: Reply) => {
        if (reply.kind === 'ready') resolve(new Lane(worker, reply.portId, reports))
        else fail(`unexpected message ${reply.kind}`)
      })
    })
  }

  get ended(): boolean {
    return this.#ended !== undefined
  }

  call<K extends keyof Calls>(call: K, args: Calls[K]['args']): Promise<Calls[K]['result']> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    return new Promise<Calls[K]['result']>((resolve, reject) => {
      const id = this.#nextId++
      this.#waiting.set(id, { resolve, reject })
      this.#worker.ref() // a process must not end while a call is under way
      this.#worker.postMessage({ id, call, args })
    })
  }

  async close(): Promise<void> {
    await this.#worker.terminate()
    this.#end('closed')
  }

  #receive(reply: Reply): void {
    if (reply.kind === 'ready') return
    if (reply.kind === 'events') {
      this.#reports.events(reply.events)
      return
    }
    const waiting = this.#waiting.get(reply.id)
    this.#waiting.delete(reply.id)
    if (this.#waiting.size === 0) this.#worker.unref()
    // The map ties each id to the promise of its own call, whose result type the compiler cannot follow.
    if (reply.kind === 'result') waiting?.resolve(reply.result as never)
    else waiting?.reject(unpost(reply.error))
  }

  #end(why: string): void {
    if (this.#ended !== undefined) return
    this.#ended = new KernelError('kernel-worker', `the netlink thread ended: ${why}`)
    for (const { reject } of this.#waiting.values()) reject(this.#ended)
    this.#waiting.clear()
    this.#reports.ended()
  }
}
