// SPDX-License-Identifier: Apache-2.0
import { type NodeCr, type NodeStatus, nodeCrs } from '#kube/crd/node.ts'
import type { Kube } from '#kube/port.ts'
import { AppError, isAppError } from '#lib/errors.ts'
import { diffMerge } from '#lib/merge-patch.ts'

export type RecordCode = 'record-stale'

/**
 * One Node CR as this process knows it. Its status has one writer, so what we wrote last is the truth, and a watch that lags
 * behind our own writes is no news. Every write is optimistic: when somebody else wrote, nothing is overwritten.
 */
export class NodeRecord {
  readonly #kube: Kube
  readonly #name: string
  #copy: NodeCr | undefined

  constructor(kube: Kube, name: string) {
    this.#kube = kube
    this.#name = name
  }

  /** What the last load or write gave. */
  get copy(): NodeCr | undefined {
    return this.#copy
  }

  /** The present object; read from the API server when our copy is not known to be the newest. */
  async load(watched: NodeCr | undefined): Promise<NodeCr | undefined> {
    const copy = this.#copy
    const newer = copy !== undefined && watched !== undefined && isNewer(watched, copy)
    if (copy === undefined || newer) {
      const same = newer && diffMerge(copy.status ?? {}, watched.status ?? {}) === undefined && watched.metadata.uid === copy.metadata.uid
      this.#copy = same ? watched : await this.#kube.get(nodeCrs, this.#name)
    }
    return this.#copy
  }

  /** Reads again before something irrevocable is done. Throws `record-stale` when the status is not what the round was decided on. */
  async verify(): Promise<void> {
    const before = this.#copy
    this.#copy = await this.#kube.get(nodeCrs, this.#name)
    if (this.#copy === undefined || diffMerge(before?.status ?? {}, this.#copy.status ?? {}) !== undefined) throw this.#stale()
  }

  /**
   * Makes the status be `next`. Throws `record-stale` when somebody else changed it meanwhile, or what the API server says; in both
   * cases the next load reads afresh, because the write may have landed.
   */
  async write(next: NodeStatus): Promise<NodeCr> {
    for (let attempt = 0; attempt < 5; attempt++) {
      const copy = this.#copy
      if (copy === undefined) throw this.#stale()
      const status = diffMerge(copy.status ?? {}, next)
      if (status === undefined) return copy
      try {
        const body = { metadata: { resourceVersion: copy.metadata.resourceVersion }, status }
        this.#copy = await this.#kube.patch(nodeCrs, this.#name, { type: 'merge', subresource: 'status', body })
        return this.#copy
      } catch (e) {
        this.#copy = undefined
        if (!isAppError(e) || e.code !== 'conflict') throw e
        const fresh = await this.#kube.get(nodeCrs, this.#name)
        this.#copy = fresh
        // An earlier try of ours may have landed after all; a change of spec by the daemon is no reason to stop.
        const ours = fresh !== undefined && diffMerge(fresh.status ?? {}, next) === undefined
        if (ours) return fresh
        if (diffMerge(copy.status ?? {}, fresh?.status ?? {}) !== undefined) throw this.#stale()
      }
    }
    throw this.#stale()
  }

  /** Changes metadata (annotations, finalizers); the status stays as it is. */
  async patchMetadata(metadata: Readonly<Record<string, unknown>>): Promise<void> {
    this.#copy = undefined
    this.#copy = await this.#kube.patch(nodeCrs, this.#name, { type: 'merge', body: { metadata } })
  }

  forget(): void {
    this.#copy = undefined
  }

  #stale(): AppError<RecordCode> {
    return new AppError<RecordCode>('record-stale', `Node CR ${this.#name} was changed by somebody else: deciding again`)
  }
}

/** resourceVersions of one kind are comparable integers (a guarantee since Kubernetes 1.35, true of etcd before); anything else counts as news. */
function isNewer(a: NodeCr, b: NodeCr): boolean {
  const [x, y] = [a.metadata.resourceVersion ?? '', b.metadata.resourceVersion ?? '']
  if (!/^\d+$/.test(x) || !/^\d+$/.test(y)) return x !== y
  return BigInt(x) > BigInt(y)
}
