// SPDX-License-Identifier: Apache-2.0
import type { ChildProcess } from 'node:child_process'
import { nodeCrs } from '#kube/crd/node.ts'
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import type { EventInput, Kube, KubeObject, Patch, Resource, Selector, Watch, WatchHandler } from '#kube/port.ts'
import { configMaps } from '#kube/reflect/config-map.ts'
import { leases } from '#kube/reflect/lease.ts'
import { nodes } from '#kube/reflect/node.ts'
import { pods } from '#kube/reflect/pod.ts'
import { AppError, isAppError, messageOf } from '#lib/errors.ts'

/** Kinds that may cross the channel; they are found by kind, group and version again on the other side. */
const kinds: readonly Resource<KubeObject>[] = [nodeCrs, nodeRuntimes, configMaps, leases, nodes, pods]

type Request =
  | {
      readonly id: number
      readonly verb: 'get' | 'delete'
      readonly kind: string
      readonly name: string
      readonly namespace?: string
      readonly uid?: string
    }
  | { readonly id: number; readonly verb: 'list' | 'watch'; readonly kind: string; readonly selector: Selector }
  | {
      readonly id: number
      readonly verb: 'create' | 'replace'
      readonly kind: string
      readonly object: KubeObject
      readonly subresource?: 'status'
    }
  | {
      readonly id: number
      readonly verb: 'patch'
      readonly kind: string
      readonly name: string
      readonly patch: Patch
      readonly namespace?: string
    }
  | { readonly id: number; readonly verb: 'event'; readonly event: EventInput }
  | { readonly id: number; readonly verb: 'stop'; readonly watch: number }
type Reply =
  | { readonly id: number; readonly result?: unknown; readonly error?: { readonly code: string; readonly message: string } }
  | { readonly watch: number; readonly heard: 'replaced' | 'applied' | 'deleted' | 'interrupted'; readonly value?: unknown }

const idOf = (r: Resource<KubeObject>) => `${r.group}/${r.version}/${r.plural}`

function kindOf(id: string): Resource<KubeObject> {
  const found = kinds.find(r => idOf(r) === id)
  if (found === undefined) throw new Error(`${id} does not cross the channel: add it to kube-ipc.ts`)
  return found
}

/** The parent's end: lets a child process use this Kube as its API server, until it dies. */
export function serveKube(child: ChildProcess, kube: Kube): void {
  const watches = new Map<number, Watch>()
  const send = (reply: Reply) => {
    if (child.connected) child.send(reply, () => {})
  }
  child.on('message', message => {
    const request = message as Request
    void perform(kube, watches, request, send).then(
      result => send({ id: request.id, result }),
      (e: unknown) => send({ id: request.id, error: { code: isAppError(e) ? e.code : 'unavailable', message: messageOf(e) } }),
    )
  })
  child.on('exit', () => {
    for (const watch of watches.values()) watch.stop()
  })
}

async function perform(kube: Kube, watches: Map<number, Watch>, request: Request, send: (reply: Reply) => void): Promise<unknown> {
  if (request.verb === 'event') return kube.event(request.event)
  if (request.verb === 'stop') return watches.get(request.watch)?.stop()
  const r = kindOf(request.kind)
  switch (request.verb) {
    case 'get':
      return kube.get(r, request.name, request.namespace)
    case 'delete':
      return kube.delete(r, request.name, request.namespace, request.uid)
    case 'list':
      return kube.list(r, request.selector)
    case 'create':
      return kube.create(r, request.object)
    case 'replace':
      return kube.replace(r, request.object, request.subresource)
    case 'patch':
      return kube.patch(r, request.name, request.patch, request.namespace)
    case 'watch': {
      const told = (heard: 'replaced' | 'applied' | 'deleted' | 'interrupted') => (value?: unknown) =>
        send({ watch: request.id, heard, value })
      const watch = kube.watch(r, request.selector, {
        replaced: told('replaced'),
        applied: told('applied'),
        deleted: told('deleted'),
        interrupted: reason => told('interrupted')(messageOf(reason)),
      })
      watches.set(request.id, watch)
      return watch.synced
    }
    default:
      throw new Error(`unknown request ${JSON.stringify(request)}`)
  }
}

/** The child's end: a Kube whose API server is the parent process. */
export class IpcKube implements Kube {
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (reason: unknown) => void }>()
  readonly #watches = new Map<number, { readonly r: Resource<KubeObject>; readonly handler: WatchHandler<KubeObject> }>()
  #next = 1

  constructor() {
    process.on('message', message => this.#receive(message as Reply))
  }

  async get<T extends KubeObject>(r: Resource<T>, name: string, namespace?: string): Promise<T | undefined> {
    const found = await this.#ask({ verb: 'get', kind: idOf(r), name, ...(namespace === undefined ? {} : { namespace }) })
    return found === undefined ? undefined : r.parse(found)
  }

  async list<T extends KubeObject>(r: Resource<T>, selector: Selector = {}): Promise<readonly T[]> {
    return ((await this.#ask({ verb: 'list', kind: idOf(r), selector })) as unknown[]).map(raw => r.parse(raw))
  }

  async create<T extends KubeObject>(r: Resource<T>, object: T): Promise<T> {
    return r.parse(await this.#ask({ verb: 'create', kind: idOf(r), object }))
  }

  async replace<T extends KubeObject>(r: Resource<T>, object: T, subresource?: 'status'): Promise<T> {
    return r.parse(await this.#ask({ verb: 'replace', kind: idOf(r), object, ...(subresource && { subresource }) }))
  }

  async patch<T extends KubeObject>(r: Resource<T>, name: string, patch: Patch, namespace?: string): Promise<T> {
    return r.parse(await this.#ask({ verb: 'patch', kind: idOf(r), name, patch, ...(namespace === undefined ? {} : { namespace }) }))
  }

  async delete<T extends KubeObject>(r: Resource<T>, name: string, namespace?: string, uid?: string): Promise<void> {
    await this.#ask({
      verb: 'delete',
      kind: idOf(r),
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
    })
  }

  watch<T extends KubeObject>(r: Resource<T>, selector: Selector, handler: WatchHandler<T>): Watch {
    const id = this.#next
    this.#watches.set(id, { r, handler: handler as WatchHandler<KubeObject> })
    const synced = this.#ask({ verb: 'watch', kind: idOf(r), selector }).then(() => {})
    return {
      synced,
      stop: () => {
        this.#watches.delete(id)
        void this.#ask({ verb: 'stop', watch: id }).catch(() => {})
      },
    }
  }

  event(event: EventInput): void {
    void this.#ask({ verb: 'event', event }).catch(() => {})
  }

  #ask(request: DistributiveOmit<Request, 'id'>): Promise<unknown> {
    const id = this.#next++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      process.send?.({ ...request, id }, (e: unknown) => {
        if (e !== null && e !== undefined) reject(new AppError('unavailable', 'the channel is closed', { cause: e }))
      })
    })
  }

  #receive(reply: Reply): void {
    if ('watch' in reply) {
      this.#heard(reply)
      return
    }
    const waiting = this.#waiting.get(reply.id)
    this.#waiting.delete(reply.id)
    if (reply.error !== undefined) waiting?.reject(new AppError(reply.error.code, reply.error.message))
    else waiting?.resolve(reply.result)
  }

  #heard({ watch, heard, value }: Extract<Reply, { watch: number }>): void {
    const found = this.#watches.get(watch)
    if (found === undefined) return
    const { r, handler } = found
    if (heard === 'replaced') handler.replaced((value as unknown[]).map(raw => r.parse(raw)))
    else if (heard === 'interrupted') handler.interrupted?.(value)
    else handler[heard](r.parse(value))
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never
