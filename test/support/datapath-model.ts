// SPDX-License-Identifier: Apache-2.0
import type { Attachment, EniDevice, IfName, NetnsPath } from '#datapath/attachment.ts'
import type { Datapath, Inventory, NodeDatapath, PodEni, SetupResult } from '#datapath/port.ts'
import { mode } from '#kernel/bpf/words.ts'
import { parseIfName } from '#kernel/names.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { Clock } from '#lib/clock.ts'
import { AppError } from '#lib/errors.ts'
import type { Ip } from '#net/ip.ts'
import { type Mac, parseMac } from '#net/mac.ts'

/** What an ENI is called on the host; nobody asks. */
const eniName = parseIfName('eth1')
const forwarding = mode.guard | mode.forward | mode.policy

interface Link {
  /** Its alias: the container that it was made for. */
  readonly containerId: string
  readonly netns: NetnsPath
  readonly mtu: number
  readonly index: number
}

/**
 * A node's kernel as far as the Datapath port shows it: host devices, rules and routes by pod. It outlives the daemon that
 * uses it, as a kernel does. Devices of dying pods stay until `reap`; ENIs must be plugged in first.
 */
export class DatapathModel implements Datapath {
  readonly links = new Map<IfName, Link>()
  /** Address to the host device that it is routed to. */
  readonly routes = new Map<Ip, IfName>()
  readonly rules = new Set<Ip>()
  readonly enis = new Set<Mac>()
  /** How the node forwards. */
  node: NodeDatapath = { kind: 'veth' }
  /** The word that every program reads first; undefined without programs. */
  mode: number | undefined
  /** What a daemon asks beside the datapath. */
  readonly programs = {
    mode: async () => this.mode,
    turnOff: async (services: boolean) => {
      if (this.mode !== undefined) this.mode &= services ? mode.service : 0
    },
  }
  /** Asked before each call; may throw. */
  fault: (call: keyof Datapath, subject: string) => void = () => {}
  /** Milliseconds of each call. */
  latency: () => number = () => 0
  /** Names that reap cannot delete yet. */
  readonly stuck = new Set<IfName>()
  /** ENIs that are in a pod, which has each for itself. */
  readonly #moved = new Map<Mac, PodEni>()
  /** By host device: the containers that were withdrawn. Only their devices are reaped, as by the engine. */
  readonly #dying = new Map<IfName, Set<string>>()
  readonly #clock: Clock
  readonly #listeners = new Set<(named: readonly IfName[]) => void>()
  #nextIndex = 100

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async setNode(node: NodeDatapath): Promise<void> {
    await this.#call('setNode', node.kind)
    this.node = node
    this.mode = node.kind === 'veth' ? undefined : (node.kind === 'v2' ? forwarding : 0) | (node.services === undefined ? 0 : mode.service)
  }

  async setup(a: Attachment): Promise<SetupResult> {
    await this.#call('setup', a.containerId)
    this.#present(a.eni)
    const present = this.links.get(a.hostIfName)
    if (present !== undefined && present.containerId !== a.containerId) {
      throw new AppError('kernel-refused', `${a.hostIfName} belongs to container ${present.containerId}`)
    }
    const ops = this.#missing(a)
    const { containerId, netns, mtu } = a
    this.#move(a)
    if (present === undefined) this.links.set(a.hostIfName, { containerId, netns, mtu, index: this.#nextIndex++ })
    for (const ip of ipsOf(a)) {
      const dev = this.routes.get(ip)
      if (dev !== undefined && dev !== a.hostIfName) throw new AppError('double-use', `${ip} is routed to ${dev}, ${a.hostIfName} wants it`)
      this.routes.set(ip, a.hostIfName)
      this.rules.add(ip)
    }
    return { hostMac: macOf(1), podMac: macOf(2), ops }
  }

  async diff(a: Attachment): Promise<readonly KernelOp[]> {
    await this.#call('diff', a.containerId)
    return this.#missing(a)
  }

  async differing(all: readonly Attachment[]): Promise<readonly Attachment[]> {
    await this.#call('differing', '')
    return all.filter(a => !this.enis.has(a.eni.mac) || this.#missing(a).length > 0)
  }

  async withdraw(a: Attachment): Promise<void> {
    await this.#call('withdraw', a.containerId)
    this.#dying.set(a.hostIfName, new Set(this.#dying.get(a.hostIfName)).add(a.containerId))
    if (this.#moved.get(a.eni.mac)?.owner === a.containerId) this.#moved.delete(a.eni.mac)
    for (const ip of ipsOf(a)) {
      if (this.routes.get(ip) !== a.hostIfName) continue
      this.routes.delete(ip)
      this.rules.delete(ip)
    }
  }

  async reap(links: readonly IfName[]): Promise<{ readonly gone: readonly IfName[]; readonly remaining: readonly IfName[] }> {
    await this.#call('reap', links.join(','))
    const present = links.filter(name => this.links.has(name) && !this.#isForeign(name))
    for (const name of present) if (!this.stuck.has(name)) this.links.delete(name)
    const remaining = present.filter(name => this.links.has(name))
    const gone = links.filter(name => !remaining.includes(name))
    for (const name of gone) this.#dying.delete(name)
    return { gone, remaining }
  }

  async inventory(among: readonly NetnsPath[] = []): Promise<Inventory> {
    await this.#call('inventory', '')
    const enis = [...this.#moved.values()].filter(e => among.includes(e.netns))
    return {
      hostLinks: [...this.links].map(([name, { index, mtu, containerId: owner, netns }]) => {
        return { name, index, up: true, mtu, owner, ...(among.includes(netns) ? { netns } : {}) }
      }),
      rules: [...this.rules].flatMap(ip => [{ priority: 512, ip, table: 254 } as const, { priority: 2048, ip, table: 1003 } as const]),
      routes: [...this.routes].map(([ip, dev]) => ({ ip, dev })),
      ...(enis.length === 0 ? {} : { enis }),
    }
  }

  async removeLeftovers(left: Inventory): Promise<readonly KernelOp[]> {
    await this.#call('removeLeftovers', '')
    for (const { ip } of left.rules) this.rules.delete(ip)
    for (const { ip } of left.routes) this.routes.delete(ip)
    for (const { name } of left.hostLinks) this.links.delete(name)
    for (const { mac, owner } of left.enis ?? []) if (this.#moved.get(mac)?.owner === owner) this.#moved.delete(mac)
    return left.hostLinks.map(({ name }) => ({ op: 'link-del', ns: 'host', dev: name }))
  }

  onChange(callback: (named: readonly IfName[]) => void): () => void {
    this.#listeners.add(callback)
    return () => this.#listeners.delete(callback)
  }

  /** Somebody else changed something; `named`: the pods' host ends that the notification tells. */
  disturb(change: () => void, named: readonly IfName[] = []): void {
    change()
    for (const listener of [...this.#listeners]) listener(named)
  }

  async close(): Promise<void> {}

  async #call(name: keyof Datapath, subject: string): Promise<void> {
    await this.#clock.sleep(this.latency())
    this.fault(name, subject)
  }

  #isForeign(name: IfName): boolean {
    const [link, owners] = [this.links.get(name), this.#dying.get(name)]
    return link !== undefined && owners !== undefined && !owners.has(link.containerId)
  }

  #present(eni: EniDevice): void {
    if (!this.enis.has(eni.mac)) throw new AppError('eni-absent', `ENI ${eni.eniId}: no device with MAC ${eni.mac}`)
  }

  /** A device is in one place. */
  #move({ kind, eni: { eniId, mac }, containerId: owner, netns, ifName: dev, mtu }: Attachment): void {
    const there = this.#moved.get(mac)
    if (there !== undefined && there.owner !== owner)
      throw new AppError('double-use', `ENI ${eniId} is in the pod of container ${there.owner}`)
    if (kind === 'exclusive-eni') this.#moved.set(mac, { netns, dev, mac, mtu, owner, home: eniName })
  }

  #missing(a: Attachment): readonly KernelOp[] {
    const link: readonly KernelOp[] = this.links.has(a.hostIfName)
      ? []
      : [{ op: 'link-set', ns: 'host', dev: a.hostIfName, set: { up: true } }]
    const absent = ipsOf(a).filter(ip => this.routes.get(ip) !== a.hostIfName || !this.rules.has(ip))
    return [...link, ...absent.map((ip): KernelOp => ({ op: 'addr-add', ns: 'host', dev: a.hostIfName, address: ip, prefix: 32 }))]
  }
}

function ipsOf(a: Attachment): readonly Ip[] {
  return [a.v4?.address, a.v6?.address].filter(ip => ip !== undefined)
}

function macOf(n: number): Mac {
  return parseMac(`0a:00:00:00:00:0${n}`)
}
