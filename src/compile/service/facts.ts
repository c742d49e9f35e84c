// SPDX-License-Identifier: Apache-2.0
import type { Service } from '#kube/reflect/service.ts'
import { nameOfTarget, type Target } from '#state/target.ts'

/** What a Service's owner should hear: an Event about it. */
export interface ServiceFact {
  readonly about: { readonly namespace: string; readonly name: string; readonly uid: string }
  readonly type: 'Warning'
  readonly reason: 'ServicePortUnsupported' | 'ServiceFrontendConflict' | 'ServiceMaglevRefused'
  readonly message: string
}

export interface Shortcomings {
  readonly unsupported: readonly Target[]
  readonly localOnly: readonly Target[]
  readonly lost: readonly { readonly frontend: Target; readonly to: string }[]
  readonly isMaglevRefused: boolean
  readonly mostHashedSets: number
}

export function factsOf({ metadata }: Service, s: Shortcomings): readonly ServiceFact[] {
  const about = { namespace: metadata.namespace ?? '', name: metadata.name, uid: metadata.uid ?? '' }
  const fact = (reason: ServiceFact['reason'], message: string): ServiceFact => ({ about, type: 'Warning', reason, message })
  const out: ServiceFact[] = []
  if (s.unsupported.length > 0) {
    const list = s.unsupported.map(nameOfTarget).join(', ')
    out.push(
      fact('ServicePortUnsupported', `${list}: SCTP is served only where endpoints have the same port, since its checksum covers it`),
    )
  }
  if (s.localOnly.length > 0) {
    const list = s.localOnly.map(nameOfTarget).join(', ')
    out.push(
      fact(
        'ServicePortUnsupported',
        `${list}: clients outside reach SCTP only at nodes that have an endpoint, as with externalTrafficPolicy Local, since its ports cannot be changed`,
      ),
    )
  }
  for (const { frontend, to } of s.lost)
    out.push(fact('ServiceFrontendConflict', `${nameOfTarget(frontend)} is served for ${to}, which is older`))
  if (s.isMaglevRefused)
    out.push(
      fact(
        'ServiceMaglevRefused',
        `Its tables of Maglev find no room beside those of older Services (${s.mostHashedSets} in all): backends are chosen at random`,
      ),
    )
  return out
}

/** What has not been told: a fact is told again when it was not true in between. */
export class Telling {
  readonly #current = new Map<string, readonly ServiceFact[]>()
  #fresh: ServiceFact[] = []

  update(service: string, facts: readonly ServiceFact[]): void {
    const told = new Set(this.#current.get(service)?.map(f => f.message))
    this.#fresh.push(...facts.filter(f => !told.has(f.message)))
    if (facts.length > 0) this.#current.set(service, facts)
    else this.#current.delete(service)
  }

  take(): readonly ServiceFact[] {
    const fresh = this.#fresh
    this.#fresh = []
    return fresh
  }
}
