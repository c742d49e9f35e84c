// SPDX-License-Identifier: Apache-2.0
import { maps } from '#kernel/bpf/maps.ts'
import { secondsSince } from '#kernel/bpf/seen.ts'
import { control, mode } from '#kernel/bpf/words.ts'
import { modeEntry, modeIn, modeOp } from '#kernel/mode.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { NsState } from '#kernel/state.ts'

/**
 * Those who look at events, so that programs tell of packets only while somebody does. Each has a place in the map `control`, where it says every second that
 * it is there; the last one takes the bit of the mode away, and terwayd does for one that was killed.
 */
export interface Monitor {
  /** Which of the places. */
  readonly at: number
  /** When it last said so, in units of 2^20 ns; 0 = nobody is there. */
  readonly seen: number
  /** It wants one of so many packets that pass; 0 = none. */
  readonly sample: number
}

/** Somebody who has said nothing for longer is gone. Seconds. */
const patience = 10
const places = [0, 1, 2, 3] as const
const placeEntries = places.map(at => wordEntry(control.monitors + at))
const sampleEntry = wordEntry(control.sample)

/** What has to be looked at to know of them. */
export const monitorEntries = [modeEntry, sampleEntry, ...placeEntries] as const

export function monitorsIn(host: NsState, now: number): Monitor[] {
  return placesIn(host).filter(m => m.seen !== 0 && secondsSince(m.seen, now) < patience)
}

/** A place where nobody is; undefined when there is none. */
export function freePlace(host: NsState, now: number): number | undefined {
  const taken = monitorsIn(host, now).map(m => m.at)
  return places.find(at => !taken.includes(at))
}

/** Says that this one is there, and sees to it that the programs tell. A node that is switched off stays so. */
export function beatOps(host: NsState, own: Monitor): KernelOp[] {
  const seen = modeIn(host) ?? 0
  const bit = seen === 0 || (seen & mode.monitor) !== 0 ? [] : [modeOp(seen | mode.monitor)]
  return [placeOp(own), ...sampleOps(host, [...othersIn(host, own), own]), ...bit]
}

/** The last one out takes the bit away. */
export function endOps(host: NsState, own: Monitor): KernelOp[] {
  const [seen, others] = [modeIn(host) ?? 0, othersIn(host, own)]
  const bit = others.length > 0 || (seen & mode.monitor) === 0 ? [] : [modeOp(seen & ~mode.monitor)]
  return [...bit, placeOp({ ...own, seen: 0, sample: 0 }), ...sampleOps(host, others)]
}

function othersIn(host: NsState, { at, seen }: Monitor): Monitor[] {
  return monitorsIn(host, seen).filter(m => m.at !== at)
}

/** As many as the most curious one wants. */
function sampleOps(host: NsState, all: readonly Monitor[]): KernelOp[] {
  const asked = all.map(m => m.sample).filter(n => n !== 0)
  const wanted = asked.length === 0 ? 0 : Math.min(...asked)
  return wordIn(host, sampleEntry) === BigInt(wanted) ? [] : [wordOp(sampleEntry, BigInt(wanted))]
}

function placesIn(host: NsState): Monitor[] {
  return placeEntries.map((entry, at) => {
    const word = wordIn(host, entry)
    return { at, seen: Number(word >> 32n), sample: Number(word & 0xffffffffn) }
  })
}

function placeOp({ at, seen, sample }: Monitor): KernelOp {
  return wordOp(wordEntry(control.monitors + at), (BigInt(seen) << 32n) | BigInt(sample))
}

type WordEntry = ReturnType<typeof wordEntry>

function wordEntry(index: number) {
  return { map: 'control', key: maps.control.key.encode({ index }).toString('hex') } as const
}

function wordIn(host: NsState, { key }: WordEntry): bigint {
  const entry = host.entries.find(e => e.map === 'control' && e.key === key)
  return entry === undefined ? 0n : maps.control.value.decode(Buffer.from(entry.value, 'hex')).value
}

function wordOp(entry: WordEntry, value: bigint): KernelOp {
  return { op: 'map-put', ns: 'host', ...entry, value: maps.control.value.encode({ value }).toString('hex') }
}
