// SPDX-License-Identifier: Apache-2.0
import { closeSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeDatapath } from '#datapath/engine.ts'
import { type MapName, maps } from '#kernel/bpf/maps.ts'
import { dropReasons, path } from '#kernel/bpf/words.ts'
import { openPin } from '#kernel/ffi-bpf.ts'
import { makeKernel } from '#kernel/kernel.ts'
import { pinOfMap } from '#kernel/op.ts'
import type { Kernel } from '#kernel/port.ts'
import { realClock } from '#lib/clock.ts'
import { silent } from '#lib/log.ts'
import { parseCidr } from '#net/cidr.ts'
import type { Ipv4 } from '#net/ip.ts'
import type { Kind } from './cells.ts'
import { policyOps } from './policy.ts'
import { loadRules } from './rules.ts'
import { type BenchNode, indexOf, type makePod, netnsFile } from './world.ts'

export type Pod = ReturnType<typeof makePod>

/** A node as the product makes it. Only its devices, rules, programs and maps stay: nobody watches them while others are measured. */
export interface MadeNode {
  readonly node: BenchNode
  readonly pods: readonly Pod[]
  /** Of programs and maps, in milliseconds; undefined in regular mode. */
  readonly loadMs: number | undefined
  readonly pins: string
}

/** The node with its pods' networks; with a policy where `kind` says so, between all `addresses` at this port alone. */
export async function makeReady(
  node: BenchNode,
  { kind, pods, dir, allowed }: { readonly kind: Kind; readonly pods: readonly Pod[]; readonly dir: string; readonly allowed: Allowed },
): Promise<MadeNode> {
  const pins = join(dir, 'bpf', node.name)
  const kernel = await makeKernel({ hostNetns: netnsFile(node.name), pins })
  const datapath = makeDatapath(kernel, { clock: realClock, log: silent })
  const programmed = kind === 'v2' || kind === 'v2_nopolicy'
  let loadMs: number | undefined
  if (programmed) {
    mkdirSync(pins, { recursive: true })
    // The thread that loads starts with its first call.
    await kernel.reapLinks([])
    const start = performance.now()
    await kernel.loadPrograms()
    loadMs = performance.now() - start
    const serviceCidrs = [parseCidr('10.96.0.0/16')]
    await datapath.setNode({ kind: 'v2', hostStackCidrs: [], serviceCidrs, learn: false }, [])
  }
  for (const pod of pods) await datapath.setup(pod)
  if (kind === 'veth_nft') loadRules(node.name, 'nftables')
  if (kind === 'veth_ipt') loadRules(node.name, 'iptables')
  if (kind === 'v2') {
    const endpoints = pods.map(pod => indexOf(node, pod.hostIfName))
    const { failed } = await kernel.apply(policyOps(endpoints, allowed.addresses, allowed.port))
    if (failed !== undefined) throw failed
  }
  await datapath.close()
  return { node, pods, loadMs, pins }
}

export interface Allowed {
  readonly addresses: readonly Ipv4[]
  readonly port: number
}

/** What the kernel says that the node's maps take, in MB. */
export function memoryOfMaps({ pins }: MadeNode): number {
  const names = Object.keys(maps) as MapName[]
  const bytes = names.map(name => {
    const fd = openPin(join(pins, pinOfMap(name)))
    if (fd === undefined) throw new Error(`${pins} has no map ${name}`)
    const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
    closeSync(fd)
    return Number(/^memlock:\s+(\d+)$/m.exec(info)?.[1])
  })
  return bytes.reduce((a, b) => a + b, 0) / 2 ** 20
}

/** Packets by way, and by reason of their drop. */
export async function counted({ node, pins }: MadeNode): Promise<{ readonly paths: Counts; readonly drops: Counts }> {
  const kernel = await makeKernel({ hostNetns: netnsFile(node.name), pins })
  try {
    return { paths: await counts(kernel, 'paths', path), drops: await counts(kernel, 'drops', dropReasons) }
  } finally {
    await kernel.close()
  }
}

export type Counts = Readonly<Record<string, number>>

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
