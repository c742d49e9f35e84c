// SPDX-License-Identifier: Apache-2.0
import type { KubeObject, Resource } from '#kube/port.ts'
import { apiVersionOf } from '#kube/resource.ts'
import { messageOf } from '#lib/errors.ts'

export interface Unread {
  readonly apiVersion: string
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly reason: string
}

/**
 * Objects of one kind that exist and cannot be read. What was known of them stays: in a list they count as they were before. Those of a list are told
 * before the list itself.
 */
export class Unreadable {
  readonly #resource: Resource<KubeObject>
  readonly #tell: (unread: Unread) => void
  #known = new Map<string, Unread>()
  /** Since the last list. */
  #fresh = new Map<string, Unread>()

  /** `tell` hears of each once, until it can be read again or has another fault. */
  constructor(resource: Resource<KubeObject>, tell: (unread: Unread) => void) {
    this.#resource = resource
    this.#tell = tell
  }

  add(name: string, namespace: string | undefined, cause: unknown): void {
    const { kind } = this.#resource
    const unread = { apiVersion: apiVersionOf(this.#resource), kind, namespace: namespace ?? '', name, reason: messageOf(cause) }
    const key = `${unread.namespace}/${name}`
    const isNew = this.#known.get(key)?.reason !== unread.reason
    this.#known.set(key, unread)
    this.#fresh.set(key, unread)
    if (isNew) this.#tell(unread)
  }

  /** A list begins a new count: returns the keys of those of it that cannot be read. */
  listed(): ReadonlySet<string> {
    this.#known = this.#fresh
    this.#fresh = new Map()
    return new Set(this.#known.keys())
  }

  /** It could be read, or is gone. */
  delete(key: string): void {
    this.#known.delete(key)
    this.#fresh.delete(key)
  }

  all(): Iterable<Unread> {
    return this.#known.values()
  }
}
