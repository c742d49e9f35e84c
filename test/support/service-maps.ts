// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { maps } from '#kernel/bpf/maps.ts'
import { affinitySlot, backendState, serviceFlag, serviceScope } from '#kernel/bpf/words.ts'
import type { RawEntry } from '#kernel/state.ts'
import { type Ip, isIpv4 } from '#net/ip.ts'
import { type Change, inOrder, type ServiceMap, serviceMaps } from '#state/entry.ts'
import { nameOfTarget } from '#state/target.ts'

/** The maps of Services as a kernel would have them: changes are made one by one, and each leaves them so that no packet finds an end that leads nowhere. */
export class ServiceMaps {
  readonly #maps: Readonly<Record<ServiceMap, Map<string, string>>>

  constructor(from?: ServiceMaps) {
    const copy = (map: ServiceMap) => [map, new Map(from === undefined ? [] : from.#maps[map])] as const
    // The names are those of the maps, which the compiler cannot follow.
    this.#maps = Object.fromEntries(serviceMaps.map(copy)) as Record<ServiceMap, Map<string, string>>
  }

  get(map: ServiceMap): ReadonlyMap<string, string> {
    return this.#maps[map]
  }

  apply(changes: readonly Change[]): void {
    for (const change of changes) {
      this.set(change)
      this.#checkAround(change)
    }
  }

  /** What a process that wants just these entries has to change here. */
  towards(wanted: readonly Change[]): readonly Change[] {
    const names = new Set(wanted.map(c => c.map + c.key))
    const unwanted = serviceMaps.flatMap(map =>
      [...this.#maps[map].keys()].filter(key => !names.has(map + key)).map((key): Change => ({ map, key, value: undefined })),
    )
    return inOrder([...wanted.filter(c => this.#maps[c.map].get(c.key) !== c.value), ...unwanted])
  }

  set({ map, key, value }: Change): void {
    if (value === undefined) this.#maps[map].delete(key)
    else this.#maps[map].set(key, value)
  }

  raw(map: ServiceMap): readonly RawEntry[] {
    return [...this.#maps[map]].map(([key, value]) => ({ key: Buffer.from(key, 'hex'), value: Buffer.from(value, 'hex') }))
  }

  /** Everything, from every frontend on. */
  check(): void {
    for (const map of serviceMaps) for (const [key, value] of this.#maps[map]) this.#checkAround({ map, key, value })
  }

  /** What a packet could come to by what has changed. */
  #checkAround({ map, key, value }: Change): void {
    if (map === 'services' && value !== undefined) this.#checkService(key, value)
    else if (map === 'backend_sets' && value !== undefined) this.#checkSet(key)
    else if (map === 'backend_slots') this.#checkSlot(key)
    else if (map === 'backend_sets') this.#checkNobody('services', v => v.startsWith(key), `set ${key} is gone`)
    else if (map === 'backends' && value === undefined) this.#checkNobody('backend_slots', v => v === key, `backend ${key} is gone`)
    else if (map === 'backends' && stateOf(value) === backendState.draining)
      this.#checkNobody('backend_slots', v => v === key, `${key} drains`)
    else if (map === 'frontends' && value === undefined)
      this.#checkNobody('services', v => v.slice(8, 16) === key, `frontend ${key} is gone`)
    else if (map === 'source_ranges') this.#checkNobody('services', v => this.#lacksRanges(v), 'limited to nobody')
  }

  #checkService(key: string, value: string): void {
    const asked = maps.services.key.decode(Buffer.from(key, 'hex'))
    const seen = maps.frontends.value.decode(Buffer.from(this.#maps.frontends.get(value.slice(8, 16)) ?? '', 'hex'))
    assert.deepEqual([seen.ip, seen.port, seen.protocol], [asked.ip, asked.port, asked.protocol])
    assert.ok(this.#maps.backend_sets.has(value.slice(0, 8)), `service ${key} has no set`)
    assert.ok(!this.#lacksRanges(value), `service ${key} lets nobody in`)
  }

  #lacksRanges(service: string): boolean {
    const { flags } = maps.services.value.decode(Buffer.from(service, 'hex'))
    return (
      (flags & serviceFlag.sourceRanges) !== 0 && ![...this.#maps.source_ranges.keys()].some(k => k.slice(8, 16) === service.slice(8, 16))
    )
  }

  #checkSet(set: string): void {
    for (let i = 0; i < this.#countOf(set); i++) this.#checkSlot(set + number(i))
  }

  #countOf(set: string): number {
    const value = this.#maps.backend_sets.get(set)
    return value === undefined ? 0 : Buffer.from(value, 'hex').readUInt32LE(0)
  }

  #checkSlot(key: string): void {
    const [set, slot] = [key.slice(0, 8), Buffer.from(key.slice(8), 'hex').readUInt32LE(0)]
    const backend = this.#maps.backend_slots.get(key)
    assert.ok(backend !== undefined || slot >= this.#countOf(set), `slot ${slot} of set ${set} is missing`)
    if (backend === undefined) return
    assert.equal(stateOf(this.#maps.backends.get(backend)), backendState.active, `slot ${slot} of set ${set} leads to backend ${backend}`)
  }

  #checkNobody(map: ServiceMap, isOf: (value: string) => boolean, why: string): void {
    for (const [key, value] of this.#maps[map]) assert.ok(!isOf(value), `${map} ${key} is left: ${why}`)
  }

  /** One line for each frontend, with whom it leads to, and each draining backend: without numbers and sorted, to be read and compared. */
  lines(): readonly string[] {
    const services = this.raw('services').map(({ key, value }) => {
      const [k, v] = [maps.services.key.decode(key), maps.services.value.decode(value)]
      const scope = Object.entries(serviceScope).find(([, n]) => n === k.scope)?.[0]
      const flags = Object.entries(serviceFlag).flatMap(([name, bit]) => ((v.flags & bit) !== 0 ? [name] : []))
      const words = [...flags, ...(v.affinitySeconds > 0 ? [`affinity=${v.affinitySeconds}`] : [])].map(w => ` ${w}`).join('')
      const from = (v.flags & serviceFlag.sourceRanges) === 0 ? '' : ` from ${this.#rangesOf(v.frontend).join(',')}`
      return `${named(k)} ${scope}${words}${from} -> ${this.#setLine(number(v.set), (v.flags & serviceFlag.hashed) !== 0)}`
    })
    return [...services.sort(), ...this.#draining()]
  }

  /** Of a table of Maglev the order of the slots tells: a digest stands for it. */
  #setLine(set: string, isTable: boolean): string {
    const slots = Array.from({ length: this.#countOf(set) }, (_, i) => this.#maps.backend_slots.get(set + number(i)) ?? '')
    const list = (ids: Iterable<string>) =>
      `[${Array.from(ids, id => this.#backendName(id))
        .sort()
        .join(' ')}]`
    const members = [...this.#maps.backend_slots].filter(
      ([key]) => key.startsWith(set) && Buffer.from(key.slice(8), 'hex').readUInt32LE(0) >= affinitySlot,
    )
    const sticky = members.length > 0 ? ` sticky ${list(members.map(([, id]) => id))}` : ''
    if (!isTable) return list(slots) + sticky
    const names = new Map([...new Set(slots)].map(id => [id, this.#backendName(id)]))
    const digest = createHash('sha256')
      .update(slots.map(id => names.get(id)).join())
      .digest('hex')
      .slice(0, 8)
    return `${list(names.keys())} table of ${slots.length} ${digest}${sticky}`
  }

  #backendName(id: string): string {
    const value = this.#maps.backends.get(id)
    return value === undefined ? `missing ${id}` : named(maps.backends.value.decode(Buffer.from(value, 'hex')))
  }

  #rangesOf(frontend: number): readonly string[] {
    const keys = this.raw('source_ranges').map(e => maps.source_ranges.key.decode(e.key))
    return keys
      .filter(k => k.frontend === frontend)
      .map(k => `${k.ip}/${k.prefixLength - (k.ip !== undefined && isIpv4(k.ip) ? 128 : 32)}`)
      .sort()
  }

  #draining(): readonly string[] {
    const all = this.raw('backends').map(e => maps.backends.value.decode(e.value))
    return all
      .filter(b => b.state === backendState.draining)
      .map(b => `${named(b)} draining`)
      .sort()
  }
}

function named({ ip, port, protocol }: { readonly ip: Ip | undefined; readonly port: number; readonly protocol: number }): string {
  return ip === undefined ? 'no address' : nameOfTarget({ ip, port, protocol })
}

const stateAt = maps.backends.value.fields.find(f => f.name === 'state')?.offset ?? 0

/** Asked so often that the whole is not decoded for it. */
function stateOf(backend: string | undefined): number {
  return Number.parseInt(backend?.slice(2 * stateAt, 2 * stateAt + 2) ?? '0', 16)
}

/** As the maps have it. */
export function number(n: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(n >>> 0)
  return bytes.toString('hex')
}
