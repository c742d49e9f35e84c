// SPDX-License-Identifier: Apache-2.0
import { type Tree, treeLines } from '#cli/tree.ts'
import type { Count } from '#kernel/bpf/counters.ts'
import { block, mode } from '#kernel/bpf/words.ts'
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
  readonly paths: ReadonlyMap<string, Count>
  readonly drops: ReadonlyMap<string, Count>
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
    const sockets = found.host.sockets.map(s => s.name)
    roots.push({ text: `sockets: ${sockets.length === 0 ? 'no program' : sockets.join(', ')}` })
    roots.push({ text: 'paths', children: counters(found.paths) }, { text: 'drops', children: counters(found.drops) })
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

function counters(counts: ReadonlyMap<string, Count>): Tree[] {
  return [...counts].map(([name, { packets, bytes }]) => ({ text: `${name}: ${packets} packets, ${bytes} bytes` }))
}
