// SPDX-License-Identifier: Apache-2.0
import type { Kube } from '#kube/port.ts'
import { leases } from '#kube/reflect/lease.ts'
import { messageOf } from '#lib/errors.ts'
import type { Probe } from '#rpc/http/routes.ts'

/** Ready: the start is over, the API server answers, and a leader knows the cluster. A replica that waits for leadership is ready to take it. */
export class Readiness {
  readonly #kube: Pick<Kube, 'get'>
  readonly #lease: { readonly name: string; readonly namespace: string }
  #missing = ''

  constructor(kube: Pick<Kube, 'get'>, lease: { readonly name: string; readonly namespace: string }) {
    this.#kube = kube
    this.#lease = lease
  }

  /** What is awaited is what is missing. */
  async until<T>(missing: string, reached: Promise<T>): Promise<T> {
    this.#missing = missing
    const value = await reached
    this.#missing = ''
    return value
  }

  async check(): Promise<Probe> {
    if (this.#missing !== '') return { ok: false, reason: this.#missing }
    try {
      await this.#kube.get(leases, this.#lease.name, this.#lease.namespace)
      return { ok: true }
    } catch (e) {
      return { ok: false, reason: `the API server cannot be asked: ${messageOf(e)}` }
    }
  }
}
