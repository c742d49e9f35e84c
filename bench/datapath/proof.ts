// SPDX-License-Identifier: Apache-2.0
import { maps } from '#kernel/bpf/maps.ts'
import { dropReasons, path } from '#kernel/bpf/words.ts'
import { makeKernel } from '#kernel/kernel.ts'
import type { Kernel } from '#kernel/port.ts'
import { type Kind, kindNames, kindOf } from './cells.ts'
import type { MadeNode } from './node.ts'
import { forwarded, netnsFile } from './world.ts'

export type Pairs = Readonly<Record<Kind, readonly [MadeNode, MadeNode]>>

const programmed = kindNames.filter(kind => kindOf(kind).programs === 'v2')
const pastTheStack = kindNames.filter(kind => kindOf(kind).exclusive || ['v2', 'redirect'].includes(kindOf(kind).programs ?? ''))

/** That the programs carried the packets and the host stack none, that the policy was asked, and that the connections of others are still in the tables. */
export async function proven(pairs: Pairs, before: number): Promise<void> {
  for (const kind of programmed) {
    const { paths, drops, flows } = await counted(pairs[kind][0])
    const ways = kind === 'v2' ? ['podToRemote', 'remoteToPod', 'podToPod'] : ['podToRemote', 'remoteToPod']
    const unused = ways.filter(way => !((paths[way] ?? 0) > 0))
    const dropped = Object.entries(drops).filter(([reason, packets]) => packets > 0 && !(kind === 'v2' && reason === 'policy-egress'))
    if (unused.length > 0 || dropped.length > 0) throw new Error(`${kind}: ${JSON.stringify({ paths, drops })}`)
    if (flows < (kindOf(kind).flows ?? 0)) throw new Error(`${kind}: of the connections that the table began with only ${flows} are left`)
  }
  if (stackForwards(pairs) !== before) throw new Error('the host stack of a node whose pods go past it forwarded packets')
}

/** Packets of nodes where programs, or the pods' own ENIs, are to carry all. */
export function stackForwards(pairs: Pairs): number {
  return pastTheStack.flatMap(kind => pairs[kind]).reduce((sum, { node }) => sum + forwarded(node), 0)
}

/** Packets by way, and by reason of their drop; entries of the table of flows. */
async function counted({ node, pins }: MadeNode): Promise<{ readonly paths: Counts; readonly drops: Counts; readonly flows: number }> {
  const kernel = await makeKernel({ hostNetns: netnsFile(node.name), pins })
  try {
    const { used } = await kernel.countEntries('flows')
    return { paths: await counts(kernel, 'paths', path), drops: await counts(kernel, 'drops', dropReasons), flows: used }
  } finally {
    await kernel.close()
  }
}

type Counts = Readonly<Record<string, number>>

async function counts(kernel: Kernel, map: 'paths' | 'drops', words: Readonly<Record<string, number>>): Promise<Counts> {
  const { key: keys, value: values } = maps[map]
  const entries = await kernel.mapEntries(map)
  const byNumber = new Map(entries.map(({ key, value }) => [keys.decode(key).index, sum(value, values.size)]))
  return Object.fromEntries(Object.entries(words).map(([name, number]) => [name, byNumber.get(number) ?? 0]))

  /** One counter for each CPU. */
  function sum(value: Uint8Array, size: number): number {
    const each = Array.from({ length: value.length / size }, (_, i) => values.decode(value.subarray(i * size, (i + 1) * size)))
    return each.reduce((all, { packets }) => all + Number(packets), 0)
  }
}
