// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readEntries, unpackEntries, valueSizeOf } from '#kernel/bpf/entries.ts'
import { type LoadedObject, loadObject } from '#kernel/bpf/load.ts'
import { type MapName, maps } from '#kernel/bpf/maps.ts'
import type { ProgramName } from '#kernel/bpf/object.ts'
import { EventReader } from '#kernel/bpf/ring.ts'
import { deleteEntry, lookupEntry, runProgram, updateEntry } from '#kernel/ffi-bpf.ts'
import { mapRing } from '#kernel/ffi-bpf-ring.ts'
import { closeNetns, inNetns, openNetns, openOwnNetns } from '#kernel/netns.ts'
import { bpfObject } from '../../tools/bpf/compile.ts'
import type { Arrival } from './oracle/step.ts'
import { devices, nodeDevice, nodeMac, pod1 } from './topology.ts'
import { type Change, changed, encodeKey, encodeValue, isArray, mapNames, type World } from './world.ts'

/**
 * The programs themselves, in a namespace that has the devices of `topology.ts` and no name. Only BPF_PROG_TEST_RUN meets them: nothing is
 * attached, and no packet leaves.
 *
 * To add a case: take the file of its concern in cases/, or make one; write what is in the maps beyond `nodeRows()`, the packet (`sent`, `arrived`,
 * `handed`), and the path or the drop reason that has to come out. `Node` compares everything else (packet, marks, every row of every map,
 * all counters) with what the oracle says. When the two differ, decide by docs/maps.md and the ADRs which one is wrong. Services have their rows in
 * `services.ts`, and what their cases share in `exchange.ts`.
 */
export interface Ran {
  readonly verdict: number
  readonly packet: Buffer
  readonly mark: number
  readonly time: bigint
  /** How long the run took. */
  readonly nanoseconds: number
  /** Reason, path, target. */
  readonly said: readonly [number, number, number]
}

/** By drop reason, by path, and packets each way by endpoint, all since the maps were made. */
export interface Counters {
  readonly drops: readonly string[]
  readonly paths: readonly string[]
  readonly endpoints: readonly string[]
}

/** The bytes of struct __sk_buff that matter here. */
const offsets = { mark: 8, ingressIfIndex: 36, ifIndex: 40, said: 48, now: 60, time: 152, gsoSegments: 164, gsoSize: 176 } as const
const contextSize = 192
/** Enough for any case; LRU maps that are nearly full evict. */
const sizes = {
  ...{
    flows: 8192,
    new_flows: 8192,
    host_notes: 8192,
    fragments: 8192,
    affinities: 8192,
    node_flows: 8192,
    new_node_flows: 8192,
    socket_peers: 1024,
  },
  ...{ identities: 4096, policies: 8192, endpoint_counters: 64 },
}

export class Machine implements Disposable {
  readonly #loaded: LoadedObject
  readonly #own = openOwnNetns()
  readonly #netns = emptyNode()
  readonly #known = new Map<string, Change>()
  readonly #cpus = valueSizeOf('drops') / maps.drops.value.size

  constructor(constants: Readonly<Record<string, number>> = {}) {
    this.#loaded = loadObject(bpfObject(), { sizes, constants: { test_mode: 1, ...constants } })
  }

  /** `at` is the time, in units of 2^20 ns. */
  run(
    program: ProgramName,
    { packet, ifIndex, ingressIfIndex = 0, mark = 0, time = 0n, gsoSize = 0 }: Arrival,
    at = now(),
    repeat = 1,
  ): Ran {
    const context = Buffer.alloc(contextSize)
    context.writeUInt32LE(mark, offsets.mark)
    context.writeUInt32LE(ingressIfIndex, offsets.ingressIfIndex)
    context.writeUInt32LE(ifIndex, offsets.ifIndex)
    context.writeUInt32LE(at, offsets.now)
    context.writeBigUInt64LE(time, offsets.time)
    context.writeUInt32LE(gsoSize, offsets.gsoSize)
    context.writeUInt32LE(gsoSize > 0 ? Math.ceil(packet.length / gsoSize) : 0, offsets.gsoSegments)
    const ran = inNetns(this.#own, this.#netns, 'the test', () =>
      runProgram(this.#fd(this.#loaded.programs, program), packet, context, repeat),
    )
    const word = (offset: number) => ran.context.readUInt32LE(offset)
    return {
      verdict: ran.verdict,
      packet: ran.packet,
      nanoseconds: ran.nanoseconds,
      mark: word(offsets.mark),
      time: ran.context.readBigUInt64LE(offsets.time),
      said: [word(offsets.said), word(offsets.said + 4), word(offsets.said + 8)],
    }
  }

  #fd<N>(of: ReadonlyMap<N, number>, name: N): number {
    const fd = of.get(name)
    assert.ok(fd !== undefined, `the object has no ${name}`)
    return fd
  }

  /** Makes the maps hold this and nothing else; counters stay. */
  write(rows: readonly Change[]): void {
    for (const map of [...mapNames, 'table_sums', 'credits'] as const) {
      const fd = this.#fd(this.#loaded.maps, map)
      for (const { key, value } of unpackEntries(readEntries(map, fd))) {
        if (isArray(map)) updateEntry(fd, key, Buffer.alloc(value.length))
        else deleteEntry(fd, key)
      }
    }
    this.apply(rows)
  }

  apply(rows: readonly Change[]): void {
    for (const { map, key, value } of rows) {
      const fd = this.#fd(this.#loaded.maps, map)
      if (value === undefined) deleteEntry(fd, encodeKey(map, key))
      else updateEntry(fd, encodeKey(map, key), encodeValue(map, value))
    }
  }

  read(of: readonly MapName[] = mapNames): World {
    const all = of.flatMap(map =>
      unpackEntries(readEntries(map, this.#fd(this.#loaded.maps, map))).map(({ key, value }) => this.#decode(map, key, value)),
    )
    return changed({}, all)
  }

  /** One row as it is now. */
  row(change: Change): Change {
    const { map } = change
    const key = encodeKey(map, change.key)
    const value = Buffer.alloc(maps[map].value.size)
    return lookupEntry(this.#fd(this.#loaded.maps, map), key, value) ? this.#decode(map, key, value) : { ...change, value: undefined }
  }

  /** Most rows are what they were the time before. */
  #decode(map: MapName, key: Uint8Array, value: Uint8Array): Change {
    const bytes = `${map} ${Buffer.from(key).toString('latin1')} ${Buffer.from(value).toString('latin1')}`
    const change = this.#known.get(bytes) ?? ({ map, key: maps[map].key.decode(key), value: maps[map].value.decode(value) } as Change)
    this.#known.set(bytes, change)
    return change
  }

  /** What the programs tell from now on; the test closes it. */
  events(): EventReader {
    return new EventReader(mapRing(this.#fd(this.#loaded.maps, 'events'), maps.events.entries))
  }

  /** How many packets there was no time or room to tell of. */
  untold(): bigint {
    const rows = unpackEntries(readEntries('event_rates', this.#fd(this.#loaded.maps, 'event_rates')))
    return rows.map(({ value }) => this.#sums(Buffer.from(value))[1] ?? 0n).reduce((a, b) => a + b)
  }

  /** What has been counted, a line for each row that is not zero. */
  counters(): Counters {
    const of = (map: 'drops' | 'paths' | 'endpoint_counters') =>
      unpackEntries(readEntries(map, this.#fd(this.#loaded.maps, map)))
        .map(({ key, value }) => ({ key: Buffer.from(key).readUInt32LE(0), sums: this.#sums(Buffer.from(value)) }))
        .filter(({ sums }) => sums.some(n => n !== 0n))
        .sort((a, b) => a.key - b.key)
        .map(({ key, sums }) => `${key}: ${sums.join(' ')}`)
    return { drops: of('drops'), paths: of('paths'), endpoints: of('endpoint_counters') }
  }

  #sums(value: Buffer): bigint[] {
    const each = value.length / this.#cpus / 8
    const sum = (i: number) =>
      Array.from({ length: this.#cpus }, (_, cpu) => value.readBigUInt64LE(8 * (cpu * each + i))).reduce((a, b) => a + b)
    return Array.from({ length: each }, (_, i) => sum(i))
  }

  [Symbol.dispose](): void {
    this.#loaded.close()
    closeNetns(this.#netns)
    closeNetns(this.#own)
  }
}

/** A namespace with the devices. Its name is gone when this returns: the descriptor keeps it, and nothing is left of a process that dies. */
function emptyNode(): number {
  const name = `tpkt${process.pid}`
  execFileSync('ip', ['netns', 'add', name])
  try {
    const pairs = Array.from({ length: devices.length / 2 }, (_, i) => devices.slice(2 * i, 2 * i + 2))
    for (const [a, b] of pairs) {
      // The kernel asks what a frame's MAC is to the device: of those that node_in may be at.
      const mac = a === nodeDevice || a === pod1.ifIndex ? ` address ${nodeMac}` : ''
      const words = `link add name dev${a} index ${a}${mac} type veth peer name dev${b} index ${b}`
      execFileSync('ip', ['-n', name, ...words.split(' ')])
    }
    return openNetns(`/run/netns/${name}`)
  } finally {
    execFileSync('ip', ['netns', 'del', name])
  }
}

export function now(): number {
  return Number((process.hrtime.bigint() >> 20n) & 0xffffffffn)
}
