// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { parseAllDocuments } from 'yaml'
import { nothingRestored, restoreIds } from '#compile/service/restore.ts'
import { type ServiceOptions, ServiceState } from '#compile/service/state.ts'
import { endpointSlices } from '#kube/reflect/endpoint-slice.ts'
import { nodes } from '#kube/reflect/node.ts'
import { services } from '#kube/reflect/service.ts'
import { nodeFacts } from '#state/node-facts.ts'
import { ServiceMaps } from '../support/service-maps.ts'

type Manifest = { readonly kind: string; readonly metadata: { readonly namespace?: string; readonly name: string } }

const setUp = `
kind: Node
metadata: { name: cn-a, labels: { topology.kubernetes.io/zone: zone-a } }
spec: {}
status:
  addresses:
  - { type: InternalIP, address: 192.168.0.10 }
  - { type: InternalIP, address: 'fd00::10' }
`

/** Manifests in, lines of maps out: what node cn-a in zone-a, with addresses 192.168.0.10 and fd00::10, makes of what the API server has. */
export class ServiceCluster {
  readonly maps = new ServiceMaps()
  readonly #objects = new Map<string, Manifest>()
  readonly #options: ServiceOptions
  #state: ServiceState
  now = 0

  constructor(options: ServiceOptions = {}) {
    this.#options = options
    this.#state = new ServiceState(nothingRestored, 0, options)
    this.apply(setUp)
  }

  /** YAML documents: each is there as it says from now on. Returns how many entries of each map that has changed. */
  apply(yaml: string): Readonly<Record<string, number>> {
    for (const object of this.#parsed(yaml)) {
      this.#objects.set(this.#keyOf(object), object)
      this.#tell(object)
    }
    return this.take()
  }

  /** `Service namespace/name` or `EndpointSlice namespace/name`. */
  remove(...keys: readonly string[]): Readonly<Record<string, number>> {
    for (const key of keys) {
      const object = this.#objects.get(key)
      assert.ok(object, `there is no ${key}`)
      this.#objects.delete(key)
      if (object.kind === 'Service') this.#state.tables.deleteService(services.parse(object))
      else this.#state.tables.deleteSlice(endpointSlices.parse(object))
    }
    return this.take()
  }

  /** Time passes. */
  later(ms: number): Readonly<Record<string, number>> {
    this.now += ms
    return this.take()
  }

  /** Another process, from the maps as they are and the whole list; what changed meanwhile is in `yaml`. Entries that it does not want go. */
  restart(yaml = ''): Readonly<Record<string, number>> {
    for (const object of this.#parsed(yaml)) this.#objects.set(this.#keyOf(object), object)
    const { maps } = this
    this.#state = new ServiceState(
      restoreIds(map => maps.raw(map)),
      this.now,
      this.#options,
    )
    const all = [...this.#objects.values()]
    this.#state.tables.replaceServices(all.filter(o => o.kind === 'Service').map(services.parse))
    this.#state.tables.replaceSlices(all.filter(o => o.kind === 'EndpointSlice').map(endpointSlices.parse))
    for (const o of all) if (o.kind === 'Node') this.#tell(o)
    return this.#settle(maps.towards(this.#state.take(this.now)))
  }

  take(): Readonly<Record<string, number>> {
    return this.#settle(this.#state.take(this.now))
  }

  facts(): readonly string[] {
    return this.#state.facts().map(f => `${f.about.namespace}/${f.about.name} ${f.reason}: ${f.message}`)
  }

  health(): readonly string[] {
    return this.#state.healthChecks().map(h => `${h.port} ${h.namespace}/${h.name} ${h.localEndpoints}`)
  }

  #settle(changes: Parameters<ServiceMaps['apply']>[0]): Readonly<Record<string, number>> {
    this.maps.apply(changes)
    this.maps.check()
    const counts: Record<string, number> = {}
    for (const { map } of changes) counts[map] = (counts[map] ?? 0) + 1
    return counts
  }

  #tell(object: Manifest): void {
    if (object.kind === 'Node') this.#state.tables.setNode(nodeFacts(nodes.parse(object)))
    else if (object.kind === 'Service') this.#state.tables.applyService(services.parse(object))
    else this.#state.tables.applySlice(endpointSlices.parse(object))
  }

  #keyOf({ kind, metadata }: Manifest): string {
    return `${kind} ${metadata.namespace ?? ''}/${metadata.name}`
  }

  #parsed(yaml: string): readonly Manifest[] {
    const documents = parseAllDocuments(yaml)
    assert.ok(Array.isArray(documents))
    return documents.map(d => d.toJS())
  }

  /** Asserts every line of the maps, as one reads them. */
  expect(lines: string): void {
    const wanted = lines.split('\n').flatMap(l => (l.trim() === '' ? [] : [l.trim()]))
    assert.deepEqual(this.maps.lines(), wanted)
  }
}
