// SPDX-License-Identifier: Apache-2.0
import type { Service } from '#kube/reflect/service.ts'
import { keyOf } from '#state/service-tables.ts'

/** Which of two Services came first: what nobody can change afterwards, so that every node decides the same. */
export function compareAge(a: Service, b: Service): number {
  const [x, y] = [ageKey(a), ageKey(b)]
  return x < y ? -1 : x > y ? 1 : 0
}

function ageKey({ metadata }: Service): string {
  return `${metadata.creationTimestamp ?? ''} ${keyOf(metadata)}`
}

/** Which Services want a frontend. One address and port serves one of them only: the oldest one. */
export class Claims {
  readonly #byFrontend = new Map<string, Map<string, Service>>()

  set(frontend: string, service: Service): void {
    const claims = this.#byFrontend.get(frontend) ?? new Map<string, Service>()
    this.#byFrontend.set(frontend, claims.set(keyOf(service.metadata), service))
  }

  delete(frontend: string, service: string): void {
    const claims = this.#byFrontend.get(frontend)
    claims?.delete(service)
    if (claims?.size === 0) this.#byFrontend.delete(frontend)
  }

  winner(frontend: string): string | undefined {
    const claims = this.#byFrontend.get(frontend)
    if (claims === undefined) return undefined
    const [oldest] = claims.size === 1 ? claims.values() : [...claims.values()].sort(compareAge)
    return oldest && keyOf(oldest.metadata)
  }

  claimants(frontend: string): Iterable<string> {
    return this.#byFrontend.get(frontend)?.keys() ?? []
  }
}
