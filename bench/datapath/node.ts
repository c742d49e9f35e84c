// SPDX-License-Identifier: Apache-2.0
import { closeSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeDatapath } from '#datapath/engine.ts'
import { mapSizes } from '#datapath/v2/map-sizes.ts'
import { type MapName, maps } from '#kernel/bpf/maps.ts'
import { openPin } from '#kernel/ffi-bpf.ts'
import { applyAll } from '#kernel/host.ts'
import { makeKernel } from '#kernel/kernel.ts'
import { pinOfMap } from '#kernel/op.ts'
import type { Kernel } from '#kernel/port.ts'
import { realClock } from '#lib/clock.ts'
import { silent } from '#lib/log.ts'
import { parseCidr } from '#net/cidr.ts'
import type { Ip } from '#net/ip.ts'
import { type Kind, kindOf } from './cells.ts'
import { fillFlows, serviceEntries } from './fill.ts'
import { writeRules } from './kube-proxy.ts'
import { attachByTcx, minimalObject } from './minimal.ts'
import { policyOps } from './policy.ts'
import { type BenchService, servicesOf, type Wanted } from './services.ts'
import { addressesOf, type BenchNode, type BenchPod, indexOf, netnsFile, withOwnEni } from './world.ts'

/** A node as the product makes it. Only its devices, rules, programs and maps stay: nobody watches them while others are measured. */
export interface MadeNode {
  readonly node: BenchNode
  readonly pods: readonly BenchPod[]
  readonly services: readonly BenchService[]
  /** Of programs and maps, in milliseconds; undefined in regular mode. */
  readonly loadMs: number | undefined
  readonly pins: string
  /** Of processes whose sockets reach Services. */
  readonly cgroup: string
}

interface Plan {
  readonly kind: Kind
  readonly pods: readonly BenchPod[]
  /** With a policy it allows this alone. */
  readonly allowed: Allowed
  /** What Services lead to. */
  readonly wanted: readonly Wanted[]
  readonly dir: string
  readonly cgroup: string
}

/** The node with its pods' networks, and with what `kind` says. */
export async function makeReady(node: BenchNode, { kind, pods, dir, cgroup, allowed, wanted }: Plan): Promise<MadeNode> {
  const { programs, tcx, proxy, policy, flows, exclusive, services: count = 0 } = kindOf(kind)
  const services = servicesOf(count, wanted)
  const pins = join(dir, 'bpf', node.name)
  const object = programs === 'redirect' ? { object: minimalObject(dir) } : {}
  const kernel = await makeKernel({ hostNetns: netnsFile(node.name), pins, cgroup, ...object })
  const datapath = makeDatapath(kernel, { clock: realClock, log: silent })
  const loadMs = programs === undefined ? undefined : await load(kernel, datapath, kind, pins)
  for (const pod of exclusive ? pods.slice(0, 1).map(withOwnEni) : pods) await datapath.setup(pod)
  if (proxy !== undefined) writeRules({ node: node.name, ips: addressesOf(node), mode: proxy, services })
  else if (services.length > 0) await applyAll(kernel, serviceEntries(services))
  if (policy) {
    const endpoints = pods.map(pod => indexOf(node, pod.hostIfName))
    await applyAll(kernel, policyOps(endpoints, allowed.addresses, allowed.port))
  }
  if (tcx) {
    for (const { hostIfName } of pods) attachByTcx(node, pins, 'pod_in', hostIfName)
    attachByTcx(node, pins, 'eni_in', 'eth1')
  }
  const [first] = pods
  if (flows !== undefined && first !== undefined) fillFlows(pins, flows, first)
  await datapath.close()
  return { node, pods, services, loadMs, pins, cgroup }
}

/** Milliseconds that the programs and maps took. */
async function load(kernel: Kernel, datapath: NodeSetting, kind: Kind, pins: string): Promise<number> {
  const { programs, services, flowEntries } = kindOf(kind)
  mkdirSync(pins, { recursive: true })
  // The thread that loads starts with its first call.
  await kernel.reapLinks([])
  const start = performance.now()
  await kernel.loadPrograms(mapSizes(flowEntries))
  const loadMs = performance.now() - start
  const settings = {
    hostStackCidrs: [],
    serviceCidrs: [parseCidr('10.96.0.0/16'), parseCidr('fd00:96::/112')],
    learn: false,
    ...(flowEntries !== undefined && { flowEntries }),
  }
  const own = { services: { natPortFirst: 61_000, natPortLast: 65_535 } }
  await datapath.setNode(
    programs === 'services' ? { kind: 'services', ...settings, ...own } : { kind: 'v2', ...settings, ...(services && own) },
    [],
  )
  return loadMs
}

type NodeSetting = Pick<ReturnType<typeof makeDatapath>, 'setNode'>

export interface Allowed {
  readonly addresses: readonly Ip[]
  readonly port: number
}

/** What the kernel says that the node's maps take, in MB. */
export function memoryOfMaps({ pins }: MadeNode): number {
  return memoryOf((Object.keys(maps) as MapName[]).map(name => join(pins, pinOfMap(name))))
}

/** The same of its programs, without what the kernel compiles them to. */
export function memoryOfPrograms({ pins }: MadeNode): number {
  const programs = join(pins, 'programs')
  const files = readdirSync(programs, { recursive: true, withFileTypes: true }).filter(f => !f.isDirectory())
  return memoryOf(files.map(f => join(f.parentPath, f.name)))
}

function memoryOf(objects: readonly string[]): number {
  const bytes = objects.map(path => {
    const fd = openPin(path)
    if (fd === undefined) throw new Error(`nothing is pinned at ${path}`)
    const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
    closeSync(fd)
    return Number(/^memlock:\s+(\d+)$/m.exec(info)?.[1])
  })
  return bytes.reduce((a, b) => a + b, 0) / 2 ** 20
}
