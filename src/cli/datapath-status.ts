// SPDX-License-Identifier: Apache-2.0
import { type Tree, treeLines } from '#cli/tree.ts'
import { counter } from '#kernel/bpf/structs.ts'
import { block, dropReasons, mode, path } from '#kernel/bpf/words.ts'
import type { BpfProbe } from '#kernel/port.ts'
import type { NsState } from '#kernel/state.ts'

/** What was found of the node's datapath, from the daemon and from the kernel itself. */
export interface DatapathFound {
  /** The daemon's words, or why it does not answer. */
  readonly daemon: string
  /** Text of the switch file. */
  readonly switched: string
  readonly probes: readonly BpfProbe[]
  /** The host namespace: devices with what they join, and the filters of our blocks. */
  readonly host: NsState
  /** The word that every program reads first; undefined while no programs are loaded. */
  readonly mode: number | undefined
  /** Values of the maps of counters, by number. */
  readonly paths: ReadonlyMap<number, Uint8Array>
  readonly drops: ReadonlyMap<number, Uint8Array>
}

export function statusLines(found: DatapathFound): string[] {
  const lacking = found.probes.filter(p => !p.ok)
  const roots: Tree[] = [
    { text: `datapath: ${found.daemon}` },
    { text: `switch: ${found.switched === '' ? 'auto' : found.switched}` },
    {
      text: `kernel: ${lacking.length === 0 ? 'has everything that programs need' : 'lacks'}`,
      children: lacking.map(p => ({ text: `${p.feature}: ${p.explanation}` })),
    },
    { text: `mode: ${modeWords(found.mode)}` },
  ]
  if (found.mode !== undefined) {
    roots.push({ text: 'blocks', children: Object.entries(block).map(([name, number]) => blockTree(found.host, name, number)) })
    roots.push({ text: 'paths', children: counters(found.paths, path) }, { text: 'drops', children: counters(found.drops, dropReasons) })
  }
  return treeLines(roots)
}

export function modeWords(word: number | undefined): string {
  if (word === undefined) return 'no programs are loaded'
  const set = Object.entries(mode).flatMap(([name, bit]) => ((word & bit) === 0 ? [] : [name]))
  return set.length === 0 ? 'off: every packet goes to the host stack' : set.join(', ')
}

function blockTree(host: NsState, name: string, number: number): Tree {
  const joined = host.hooks.filter(h => h.ingress === number || h.egress === number).map(h => h.ifIndex)
  const devices = host.links.filter(l => joined.includes(l.index)).map(l => l.name)
  const programs = host.filters.filter(f => f.block === number).map(f => f.name)
  return {
    text: `${name}: ${programs.length === 0 ? 'no program' : programs.join(', ')}`,
    children: devices.length === 0 ? [{ text: 'no device' }] : devices.map(text => ({ text })),
  }
}

/** By name, those that counted anything; numbers of a newer release have no name here. */
function counters(values: ReadonlyMap<number, Uint8Array>, names: Readonly<Record<string, number>>): Tree[] {
  const name = (number: number) => Object.entries(names).find(([, n]) => n === number)?.[0] ?? `number ${number}`
  return [...values].flatMap(([number, value]) => {
    const { packets, bytes } = total(value)
    return packets === 0n ? [] : [{ text: `${name(number)}: ${packets} packets, ${bytes} bytes` }]
  })
}

/** The sum over all CPUs. */
function total(value: Uint8Array): { readonly packets: bigint; readonly bytes: bigint } {
  const each = Array.from({ length: Math.floor(value.length / counter.size) }, (_, i) =>
    counter.decode(value.subarray(i * counter.size, (i + 1) * counter.size)),
  )
  return { packets: each.reduce((sum, c) => sum + c.packets, 0n), bytes: each.reduce((sum, c) => sum + c.bytes, 0n) }
}
