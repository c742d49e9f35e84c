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

interface Frontend {
  readonly services: Map<string, Service>
  /** The oldest one; undefined = it has to be looked for. */
  oldest: string | undefined
  /** Whose it was when somebody last asked what has changed. */
  before: string | undefined
}

/** Which Services want a frontend. One address and port serves one of them only: the oldest one. */
export class Claims {
  readonly #byFrontend = new Map<string, Frontend>()
  readonly #touched = new Set<string>()

  set(frontend: string, service: Service): void {
    const key = keyOf(service.metadata)
    const f = this.#byFrontend.get(frontend) ?? { services: new Map(), oldest: undefined, before: undefined }
    this.#byFrontend.set(frontend, f)
    this.#touched.add(frontend)
    f.services.set(key, service)
    const oldest = f.services.get(f.oldest ?? '')
    if (f.oldest === key || (oldest !== undefined && compareAge(service, oldest) < 0)) f.oldest = undefined
  }

  delete(frontend: string, service: string): void {
    const f = this.#byFrontend.get(frontend)
    if (!f?.services.delete(service)) return
    this.#touched.add(frontend)
    if (f.oldest === service) f.oldest = undefined
  }

  winner(frontend: string): string | undefined {
    const f = this.#byFrontend.get(frontend)
    if (f === undefined) return undefined
    f.oldest ??= oldestOf(f.services)
    return f.oldest
  }

  claimants(frontend: string): Iterable<string> {
    return this.#byFrontend.get(frontend)?.services.keys() ?? []
  }

  /** The frontends that have gone to another Service since the last call. Those that nobody wants are forgotten. */
  takeChanged(): readonly string[] {
    const changed: string[] = []
    for (const frontend of this.#touched) {
      const f = this.#byFrontend.get(frontend)
      const now = this.winner(frontend)
      if (f === undefined) continue
      if (now !== f.before) changed.push(frontend)
      f.before = now
      if (f.services.size === 0) this.#byFrontend.delete(frontend)
    }
    this.#touched.clear()
    return changed
  }
}

function oldestOf(services: ReadonlyMap<string, Service>): string | undefined {
  let oldest: Service | undefined
  for (const s of services.values()) if (oldest === undefined || compareAge(s, oldest) < 0) oldest = s
  return oldest && keyOf(oldest.metadata)
}
