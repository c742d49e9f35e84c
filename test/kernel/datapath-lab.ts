// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Attachment, EniDevice, ExclusiveEniAttachment, SharedEniAttachment } from '#datapath/attachment.ts'
import { makeDatapath } from '#datapath/engine.ts'
import { hostIfName } from '#datapath/host-if-name.ts'
import type { Datapath, NodeDatapath } from '#datapath/port.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { dropReasons, path } from '#kernel/bpf/words.ts'
import { type KernelOptions, makeKernel } from '#kernel/kernel.ts'
import { parseIfName, parseNetnsPath } from '#kernel/names.ts'
import type { Kernel } from '#kernel/port.ts'
import { type Clock, realClock } from '#lib/clock.ts'
import { silent } from '#lib/log.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIpv4, parseIpv6 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import { bpfObject } from '../../tools/bpf/compile.ts'
import { mountBpf, unmountBpf } from '../support/bpf-fs.ts'
import { TestCgroup } from './bpf-sockets-lab.ts'

/**
 * A node with three ENIs, out of network namespaces; the test process itself stays out of all of them.
 *
 *   gw0 ── eth0 ┐          ┌ cali… ── pod
 *   gw1 ── eth1 ┤   host   ├ cali… ── pod
 *   gw2 ── eth2 ┤          └ …
 *   gw3 ── eth3 ┘
 *
 * eth0 is the node's own interface (192.0.2.10, default route). The ENIs 1 and 3 are in vSwitch 1, ENI 2 in vSwitch 2. The
 * gateway at the end of each wire owns 10.0.<vSwitch>.253 and fd00:<vSwitch>::fd, and the same "internet" addresses, so that
 * an answer tells which way a packet went. As in the cloud, the gateway knows by itself which MAC has a pod's address.
 */
export const internet4 = '198.51.100.1'
export const internet6 = '2001:db8:ffff::1'
export const hostIp4 = '192.0.2.10'
export const hostIp6 = '2001:db8:1::10'
export const port = 7777

type EniNumber = 1 | 2 | 3
const vSwitchOf: Record<EniNumber, number> = { 1: 1, 2: 2, 3: 1 }

function eniDevice(n: EniNumber): EniDevice {
  return {
    eniId: `eni-${n}`,
    mac: parseMac(`00:16:3e:00:00:0${n}`),
    gateway4: parseIpv4(`10.0.${vSwitchOf[n]}.253`),
    gateway6: parseIpv6(`fd00:${vSwitchOf[n]}::fd`),
  }
}

export interface LabOptions {
  /** Whether the node itself has an IPv6 address and default route; yes if absent. */
  readonly hostV6?: boolean
  /** A BPF file system of the lab's own, and the programs of this tree. */
  readonly v2?: boolean
}

/** The node forwards by its programs; Services are in 10.96.0.0/16 and fd00:96::/112. */
export const v2: Extract<NodeDatapath, { kind: 'v2' }> = {
  kind: 'v2',
  hostStackCidrs: [parseCidr('203.0.113.0/24')],
  serviceCidrs: [parseCidr('10.96.0.0/16'), parseCidr('fd00:96::/112')],
  learn: false,
}

export interface PodOptions<A extends Attachment = SharedEniAttachment> {
  readonly eni?: EniNumber
  readonly families?: readonly (4 | 6)[]
  readonly more?: Partial<A>
}

export class DatapathLab {
  readonly prefix: string
  readonly kernel: Kernel
  readonly datapath: Datapath
  readonly #namespaces: string[]
  readonly #probes: Probe[] = []
  readonly #options: KernelOptions
  /** Stands for the root of the node's cgroups. */
  readonly #cgroup: TestCgroup | undefined

  private constructor(prefix: string, namespaces: string[], options: KernelOptions, kernel: Kernel, cgroup: TestCgroup | undefined) {
    this.prefix = prefix
    this.#namespaces = namespaces
    this.#options = options
    this.#cgroup = cgroup
    this.kernel = kernel
    this.datapath = makeDatapath(kernel, { clock: realClock, log: silent })
  }

  /** `name` tells labs of one process apart. */
  static async create(name: string, { hostV6 = true, v2 = false }: LabOptions = {}): Promise<DatapathLab> {
    const prefix = `tdp${process.pid}${name}`
    const namespaces = ['host', 'gw0', 'gw1', 'gw2', 'gw3'].map(n => `${prefix}-${n}`)
    const lines = (ns: string, text: string) => batch(`${prefix}-${ns}`, text)
    try {
      for (const ns of namespaces) ip('netns', 'add', ns)
      for (const n of [0, 1, 2, 3]) {
        // The far end of each wire is in the gateway's namespace; MACs of the cloud's vendor prefix.
        lines(
          'host',
          `link add eth${n} address 00:16:3e:00:00:0${n} type veth peer name wire address 00:16:3e:00:01:0${n} netns ${prefix}-gw${n}`,
        )
        lines(`gw${n}`, `link set lo up\nlink set wire up\naddr add ${internet4}/32 dev lo\naddr add ${internet6}/128 dev lo nodad`)
      }
      lines('host', `link set lo up\nlink set eth0 up\naddr add ${hostIp4}/24 dev eth0\nroute add default via 192.0.2.1`)
      if (hostV6) lines('host', `addr add ${hostIp6}/64 dev eth0 nodad\n-6 route add default via 2001:db8:1::1`)
      lines('gw0', 'addr add 192.0.2.1/24 dev wire\naddr add 2001:db8:1::1/64 dev wire nodad')
      for (const n of [1, 2, 3] as const) {
        const { gateway4, gateway6 } = eniDevice(n)
        lines(`gw${n}`, `addr add ${gateway4}/24 dev wire\naddr add ${gateway6}/64 dev wire nodad`)
      }
      const cgroup = v2 ? new TestCgroup(name) : undefined
      const options = { hostNetns: netnsFile(`${prefix}-host`), ...(cgroup && { ...placeForPrograms(prefix), cgroup: cgroup.directory }) }
      return new DatapathLab(prefix, namespaces, options, await makeKernel(options), cgroup)
    } catch (e) {
      for (const ns of namespaces) removeNetns(ns)
      removePlace(prefix)
      throw e
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#probes.map(probe => probe.close()))
    await this.datapath.close()
    this.#cgroup?.remove()
    for (const ns of this.#namespaces) removeNetns(ns)
    removePlace(this.prefix)
  }

  /** The same node as a new process sees it: it remembers nothing. */
  async afterRestart<T>(fn: (datapath: Datapath, kernel: Kernel) => Promise<T>, clock: Clock = realClock): Promise<T> {
    const kernel = await makeKernel(this.#options)
    const datapath = makeDatapath(kernel, { clock, log: silent })
    try {
      return await fn(datapath, kernel)
    } finally {
      await datapath.close()
    }
  }

  /** Where another process finds the node, its pins and its programs. */
  get places(): KernelOptions {
    return this.#options
  }

  /** The next process finds the same programs as another generation. */
  upgrade(generation: string): void {
    const { object } = this.#options
    if (object !== undefined) writeFileSync(object, JSON.stringify({ ...JSON.parse(readFileSync(object, 'utf8')), generation }))
  }

  /** The word that every program reads first. */
  async mode(): Promise<number> {
    const [{ value } = { value: maps.control.value.encode({}) }] = await this.kernel.mapEntries('control')
    return Number(maps.control.value.decode(value).value)
  }

  /** Packets by way or by reason of their drop since the programs were loaded. Those that are not 0. */
  async counted(map: 'paths' | 'drops'): Promise<Record<string, number>> {
    const names = Object.entries(map === 'paths' ? path : dropReasons)
    const counts: Record<string, number> = {}
    for (const { key, value } of await this.kernel.mapEntries(map)) {
      const name = names.find(([, number]) => number === maps[map].key.decode(key).index)?.[0]
      const { size } = maps[map].value
      let packets = 0
      for (let at = 0; at < value.length; at += size) packets += Number(maps[map].value.decode(value.subarray(at, at + size)).packets)
      if (name !== undefined && packets > 0) counts[name] = packets
    }
    return counts
  }

  /** Where maps and programs are pinned. */
  get pinDirectory(): string {
    return this.#options.pins ?? ''
  }

  /** Names of what is pinned. */
  pins(): string[] {
    const { pins = '' } = this.#options
    return existsSync(pins) ? readdirSync(pins, { recursive: true, encoding: 'utf8' }).toSorted() : []
  }

  /** Packets that the host stack forwarded, of both families. */
  forwarded(): number {
    const lines = this.run('host', 'nstat -asz IpForwDatagrams Ip6OutForwDatagrams').trim().split('\n').slice(1)
    return lines.reduce((sum, line) => sum + Number(line.split(/\s+/)[1]), 0)
  }

  eni(n: EniNumber): EniDevice {
    return eniDevice(n)
  }

  /** The number of the ENI's routing table. */
  tableOf(n: EniNumber): number {
    const [link] = JSON.parse(this.run('host', `ip -j link show eth${n}`))
    return 1000 + link.ifindex
  }

  /** Runs `ip` (or `tc`, `sysctl`, … as the first word) in a namespace of the lab. */
  run(ns: string, command: string): string {
    return execFileSync('ip', ['netns', 'exec', `${this.prefix}-${ns}`, ...command.split(' ')], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }

  /** A sandbox's namespace, and the attachment of pod number `n` (10.0.<vSwitch>.<n>, fd00:<vSwitch>::<n>). */
  pod(n: number, { eni: number = 1, families = [4], more = {} }: PodOptions = {}): SharedEniAttachment {
    const ns = `pod${n}`
    this.addNetns(ns)
    const [eni, vSwitch] = [eniDevice(number), vSwitchOf[number]]
    const attachment: SharedEniAttachment = {
      kind: 'shared-eni',
      containerId: `container-${n}`,
      netns: parseNetnsPath(netnsFile(`${this.prefix}-${ns}`)),
      ifName: parseIfName('eth0'),
      hostIfName: hostIfName('default', ns, 'eth0'),
      mtu: 1500,
      eni,
      defaultRoute: true,
      extraRoutes: [],
      ...more,
    }
    const [subnet4, subnet6] = [parseCidr(`10.0.${vSwitch}.0/24`), parseCidr(`fd00:${vSwitch}::/64`)]
    const v4 = { address: parseIpv4(`10.0.${vSwitch}.${n}`), subnet: subnet4, gateway: parseIpv4(`10.0.${vSwitch}.253`) }
    const v6 = { address: parseIpv6(`fd00:${vSwitch}::${n}`), subnet: subnet6, gateway: parseIpv6(`fd00:${vSwitch}::fd`) }
    for (const f of families) {
      this.run(`gw${number}`, `ip neigh replace ${f === 4 ? v4.address : v6.address} lladdr ${eni.mac} dev wire nud permanent`)
    }
    return { ...attachment, ...(families.includes(4) ? { v4 } : {}), ...(families.includes(6) ? { v6 } : {}) }
  }

  /** The same for a pod that has its ENI for itself. What belongs to the host stack, Services among it, is as in `v2`. */
  exclusive(n: number, { more, ...options }: PodOptions<ExclusiveEniAttachment> = {}): ExclusiveEniAttachment {
    const hostRoutes = [...v2.serviceCidrs, ...v2.hostStackCidrs]
    return { ...this.pod(n, options), kind: 'exclusive-eni', hostRoutes, hostPeer: true, ...more }
  }

  /** The runtime brings the loopback up before it calls the plugin. */
  addNetns(ns: string): void {
    ip('netns', 'add', `${this.prefix}-${ns}`)
    this.#namespaces.push(`${this.prefix}-${ns}`)
    batch(`${this.prefix}-${ns}`, 'link set lo up')
  }

  removeNetns(ns: string): void {
    removeNetns(`${this.prefix}-${ns}`)
  }

  /** `atSockets`: its sockets meet the programs of the lab's node, as everybody's do on a real one. Two that serve do not fit into one namespace. */
  async probe(ns: string, { atSockets = ns === 'host', serves = true } = {}): Promise<Probe> {
    const cgroup = atSockets ? this.#cgroup : undefined
    const joining = cgroup === undefined ? [] : ['sh', '-c', 'echo $$ > "$0"/cgroup.procs && exec "$@"', cgroup.directory]
    const probe = new Probe([...joining, 'ip', 'netns', 'exec', `${this.prefix}-${ns}`])
    this.#probes.push(probe)
    if (serves) await probe.serve(ns)
    return probe
  }
}

/** What a connection or a row of questions has seen. */
export interface Beats {
  readonly sent: number
  readonly echoed: number
  readonly ended: string
}

/** The other end of datapath-probe.ts. */
export class Probe {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, (answer: never) => void>()
  readonly #gone: Promise<void>
  #nextId = 0

  /** `place`: a command line that runs another one where the probe is to be. */
  constructor(place: readonly string[]) {
    const [file = '', ...args] = [...place, process.execPath, fileURLToPath(new URL('datapath-probe.ts', import.meta.url))]
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#gone = new Promise(resolve => child.once('exit', () => resolve()))
    createInterface({ input: child.stdout }).on('line', line => {
      const { id, answer } = JSON.parse(line)
      this.#waiting.get(id)?.(answer as never)
      this.#waiting.delete(id)
    })
    this.#child = child
  }

  say<T = string>(command: object): Promise<T> {
    return new Promise<T>(resolve => {
      const id = this.#nextId++
      this.#waiting.set(id, resolve)
      this.#child.stdin?.write(`${JSON.stringify({ id, ...command })}\n`)
    })
  }

  /** Answers whoever asks, by this name. */
  serve(name: string): Promise<string> {
    return this.say({ cmd: 'serve', port, name })
  }

  /** Who answered and what address it saw: `gw1 10.0.1.5`; `timeout` when nobody did. */
  ask(host: string, timeoutMs?: number, at = port, bytes?: number): Promise<string> {
    return this.say({ cmd: 'ask', host, port: at, timeoutMs, bytes })
  }

  /** The same with questions of this many bytes. */
  askAtLength(host: string, bytes: number): Promise<string> {
    return this.say({ cmd: 'ask', host, port, bytes })
  }

  /** Who answered over TCP and what address it saw; or the code of what went wrong. */
  call(host: string, timeoutMs?: number, at = port): Promise<string> {
    return this.say({ cmd: 'call', host, port: at, timeoutMs })
  }

  /** Sends so many bytes over TCP and waits for all of them to come back: `ok`, or what went wrong. */
  stream(host: string, bytes = 100, at = port): Promise<string> {
    return this.say({ cmd: 'stream', host, port: at, bytes })
  }

  /** One byte, or one datagram, every so many milliseconds from now on. */
  beat(kind: 'tcp' | 'udp', host: string, everyMs: number, at = port): Promise<string> {
    return this.say({ cmd: kind === 'tcp' ? 'beat' : 'pulse', host, port: at, everyMs })
  }

  /** Connects to where the other side speaks first, when it is told to. */
  hear(host: string): Promise<string> {
    return this.say({ cmd: 'hear', host, port })
  }

  /** Says something to all who listen. */
  speak(): Promise<string> {
    return this.say({ cmd: 'speak' })
  }

  /** What all of these have seen, by kind and host. */
  beats(): Promise<Readonly<Record<string, Beats>>> {
    return this.say({ cmd: 'all' })
  }

  /** No more beats are sent. */
  hush(): Promise<string> {
    return this.say({ cmd: 'hush' })
  }

  async close(): Promise<void> {
    this.#child.stdin?.end()
    await this.#gone
  }
}

export function netnsFile(name: string): string {
  return `/run/netns/${name}`
}

/** Where pins go is mounted, and the programs are beside it. */
function placeForPrograms(prefix: string): Required<Pick<KernelOptions, 'pins' | 'object'>> {
  const directory = place(prefix)
  mountBpf(join(directory, 'bpf'))
  writeFileSync(join(directory, 'programs.json'), JSON.stringify(bpfObject()))
  return { pins: join(directory, 'bpf', 'terway'), object: join(directory, 'programs.json') }
}

function removePlace(prefix: string): void {
  unmountBpf(join(place(prefix), 'bpf'))
  rmSync(place(prefix), { recursive: true, force: true })
}

function place(prefix: string): string {
  return join(tmpdir(), prefix)
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] })
}

/** One `ip` command per line. */
function batch(ns: string, text: string): void {
  for (const line of text.split('\n')) ip('-n', ns, ...line.split(' '))
}

function removeNetns(ns: string): void {
  try {
    ip('netns', 'del', ns)
  } catch {
    // It was removed by the test itself, or never made.
  }
}
