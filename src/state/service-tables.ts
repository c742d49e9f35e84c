// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from 'node:util'
import type { ObjectMeta } from '#kube/port.ts'
import type { EndpointSlice } from '#kube/reflect/endpoint-slice.ts'
import type { Service } from '#kube/reflect/service.ts'
import { type SliceRow, sliceRow } from './endpoint-row.ts'
import type { NodeFacts } from './node-facts.ts'

/** Whose packets somebody else takes care of: another proxy, or nobody. */
const leftToOthers = ['service.kubernetes.io/service-proxy-name', 'service.kubernetes.io/headless']

const none: ReadonlySet<string> = new Set()

/** `namespace/name`: what Services go by. */
export function keyOf(meta: Pick<ObjectMeta, 'namespace' | 'name'>): string {
  return `${meta.namespace ?? ''}/${meta.name}`
}

/** Services, their endpoints and the node, as the watches tell of them; and which Services have changed since somebody asked. */
export class ServiceTables {
  readonly #services = new Map<string, Service>()
  readonly #slices = new Map<string, SliceRow>()
  readonly #ofService = new Map<string, Map<string, SliceRow>>()
  #node: NodeFacts | undefined
  #dirty = new Set<string>()

  get services(): ReadonlyMap<string, Service> {
    return this.#services
  }

  get node(): NodeFacts | undefined {
    return this.#node
  }

  /** By the slices' names, so that the same rows are always read in the same order. */
  slicesOf(service: string): readonly SliceRow[] {
    const slices = [...(this.#ofService.get(service)?.values() ?? [])]
    return slices.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** The Services of which something has changed since the last call, those that are gone among them. */
  takeDirty(): ReadonlySet<string> {
    const dirty = this.#dirty
    this.#dirty = new Set()
    return dirty
  }

  /** `kept` are there too, as they were. */
  replaceServices(items: readonly Service[], kept: ReadonlySet<string> = none): void {
    const present = new Set([...items.map(s => keyOf(s.metadata)), ...kept])
    for (const key of [...this.#services.keys()]) if (!present.has(key)) this.#dropService(key)
    for (const s of items) this.applyService(s)
  }

  applyService(s: Service): void {
    const key = keyOf(s.metadata)
    if (isLeftToOthers(s.metadata)) this.#dropService(key)
    else if (!isDeepStrictEqual(this.#services.get(key), s)) {
      this.#services.set(key, s)
      this.#dirty.add(key)
    }
  }

  deleteService(s: Service): void {
    this.#dropService(keyOf(s.metadata))
  }

  replaceSlices(items: readonly EndpointSlice[], kept: ReadonlySet<string> = none): void {
    const present = new Set([...items.map(s => keyOf(s.metadata)), ...kept])
    for (const key of [...this.#slices.keys()]) if (!present.has(key)) this.#dropSlice(key)
    for (const s of items) this.applySlice(s)
  }

  applySlice(s: EndpointSlice): void {
    const key = keyOf(s.metadata)
    const before = this.#slices.get(key)
    const row = isLeftToOthers(s.metadata) ? undefined : sliceRow(s, before)
    if (isDeepStrictEqual(before, row)) return
    if (before?.service !== row?.service) this.#dropSlice(key)
    if (row === undefined) return
    this.#slices.set(key, row)
    const slices = this.#ofService.get(row.service) ?? new Map<string, SliceRow>()
    this.#ofService.set(row.service, slices.set(key, row))
    this.#dirty.add(row.service)
  }

  deleteSlice(s: EndpointSlice): void {
    this.#dropSlice(keyOf(s.metadata))
  }

  setNode(node: NodeFacts): void {
    if (isDeepStrictEqual(node, this.#node)) return
    this.#node = node
    for (const key of this.#services.keys()) this.#dirty.add(key)
  }

  #dropService(key: string): void {
    if (this.#services.delete(key)) this.#dirty.add(key)
  }

  #dropSlice(key: string): void {
    const row = this.#slices.get(key)
    if (row === undefined) return
    this.#slices.delete(key)
    const slices = this.#ofService.get(row.service)
    slices?.delete(key)
    if (slices?.size === 0) this.#ofService.delete(row.service)
    this.#dirty.add(row.service)
  }
}

function isLeftToOthers(meta: ObjectMeta): boolean {
  return leftToOthers.some(label => meta.labels?.[label] !== undefined)
}
