// SPDX-License-Identifier: Apache-2.0
import type { FabricView } from '../model/view.ts'
import { asCidr } from './address.ts'
import { FABRIC_SYSCTLS, fabricBase, INTERNET_SYSCTLS, internetBase, NFT_BASE } from './base.ts'
import { plan } from './plan.ts'
import { ipBatch, must, run } from './run.ts'
import { desiredState, deviceOf, type FabricState, type Link, nothing, type Place } from './state.ts'

/** Names of the two namespaces that a fabric consists of; both carry the lab's name. */
export interface FabricNames {
  readonly fabric: string
  readonly internet: string
}

const ATTEMPTS = 3

/**
 * Makes a FabricView real. Inputs are values (`show`, `place`, `unplace`); the engine compares the state they ask for
 * with what it applied last, runs the difference, and after a complaint looks at the kernel and tries again.
 * One change runs at a time; inputs that come meanwhile are taken together in the next one.
 */
export class Fabric {
  readonly names: FabricNames
  #view: FabricView = { vSwitches: [], instances: [], enis: [], securityGroups: [], eips: [] }
  #placed: ReadonlyMap<string, Place> = new Map()
  #applied: FabricState = nothing
  #pass: Promise<void> = Promise.resolve()
  #pending = false
  readonly #complain: (text: string) => void

  private constructor(names: FabricNames, complain: (text: string) => void) {
    this.names = names
    this.#complain = complain
  }

  /** Creates both namespaces, with nothing attached. `complain` hears what could not be applied after all attempts. */
  static async create(names: FabricNames, complain: (text: string) => void): Promise<Fabric> {
    await must(['ip', 'netns', 'add', names.fabric])
    await must(['ip', 'netns', 'add', names.internet])
    await prepare(names)
    return new Fabric(names, complain)
  }

  /**
   * Takes over the namespaces of a process that ended, or fills empty ones. Devices that are still right stay, so
   * connections between machines outlive a restart of the cloud.
   */
  static async adopt(
    names: FabricNames,
    view: FabricView,
    placed: ReadonlyMap<string, Place>,
    complain: (text: string) => void,
  ): Promise<Fabric> {
    const fabric = new Fabric(names, complain)
    const devices = await devicesIn(names.fabric)
    if (!devices.has('inet')) await prepare(names)
    fabric.#view = view
    fabric.#placed = placed
    await fabric.#observe(devices)
    await fabric.#settle()
    return fabric
  }
  /** Takes a new view; returns when it (or a later one) is applied. */
  show(view: FabricView): Promise<void> {
    this.#view = view
    return this.#settle()
  }

  /** The instance's machine is this namespace: its ENIs appear there. */
  place(instanceId: string, place: Place): Promise<void> {
    this.#placed = new Map([...this.#placed, [instanceId, place]])
    return this.#settle()
  }

  /** The machine is off or gone: its devices disappear, whatever the cloud says. */
  unplace(instanceId: string): Promise<void> {
    this.#placed = new Map([...this.#placed].filter(([id]) => id !== instanceId))
    return this.#settle()
  }

  /** Attached devices: ENI id → `eth<N>` and namespace. */
  get links(): ReadonlyMap<string, Link> {
    return this.#applied.links
  }

  /** Deletes both namespaces, and with them every device. */
  async close(): Promise<void> {
    await this.#pass
    await run(['ip', 'netns', 'del', this.names.fabric])
    await run(['ip', 'netns', 'del', this.names.internet])
  }

  #settle(): Promise<void> {
    if (!this.#pending) {
      this.#pending = true
      this.#pass = this.#pass.then(() => {
        this.#pending = false
        return this.#converge()
      })
    }
    return this.#pass
  }

  async #converge(): Promise<void> {
    let complaints: readonly string[] = []
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const wanted = desiredState(this.#view, this.#placed, this.#applied)
      complaints = await this.#apply(wanted)
      if (complaints.length === 0) return
      await this.#observe(await devicesIn(this.names.fabric))
    }
    this.#complain(`fabric: ${complaints.join('; ')}`)
  }

  async #apply(wanted: FabricState): Promise<readonly string[]> {
    const commands = plan(this.#applied, wanted)
    const complaints = [...(await ipBatch(this.names.fabric, commands.fabric))]
    for (const [netns, lines] of commands.machines) complaints.push(...(await ipBatch(netns, lines)))
    if (commands.nft.length > 0) {
      const ran = await run(inside(this.names.fabric, ['nft', '-f', '-']), `${commands.nft.join('\n')}\n`)
      if (ran.code !== 0) complaints.push(`nft: ${ran.stderr.trim()}`)
    }
    if (complaints.length === 0) this.#applied = wanted
    return complaints
  }

  /**
   * Looks at the kernel instead of memory: a device whose other end is an `eth<N>` of the right machine is kept with
   * the routes it has; any other ENI device is removed, and the firewall starts empty.
   */
  async #observe(devices: ReadonlyMap<string, string>): Promise<void> {
    const slots = new Map<string, number>()
    for (const { netns } of this.#placed.values()) {
      for (const [dev, mac] of await devicesIn(netns)) {
        const slot = /^eth(\d+)$/.exec(dev)?.[1]
        if (slot !== undefined) slots.set(`${netns} ${deviceOf(mac)}`, Number(slot))
      }
    }
    const routes = await routesIn(this.names.fabric)
    const links = new Map<string, Link>()
    for (const link of desiredState(this.#view, this.#placed, nothing).links.values()) {
      const slot = link.end.kind === 'veth' ? slots.get(`${link.end.netns} ${link.dev}`) : undefined
      if (!devices.has(link.dev) || (link.end.kind === 'veth' && slot === undefined)) continue
      const end = link.end.kind === 'veth' ? { ...link.end, slot: slot ?? 0 } : link.end
      links.set(link.eniId, { ...link, end, routes: routes.get(link.dev) ?? [] })
    }
    const kept = new Set([...links.values()].map(link => link.dev))
    const stray = [...devices.keys()].filter(dev => /^e[0-9a-f]{12}$/.test(dev) && !kept.has(dev))
    await ipBatch(
      this.names.fabric,
      stray.map(dev => `link del dev ${dev}`),
    )
    await run(inside(this.names.fabric, ['nft', '-f', '-']), `table inet fabric\ndelete table inet fabric\n${NFT_BASE}`)
    this.#applied = { links, blackholes: [], firewall: nothing.firewall }
  }
}

/** Fills two empty namespaces with what every fabric has. */
async function prepare(names: FabricNames): Promise<void> {
  await setSysctls(names.fabric, FABRIC_SYSCTLS)
  await setSysctls(names.internet, INTERNET_SYSCTLS)
  await must(['ip', '-n', names.fabric, '-batch', '-'], `${fabricBase(names.internet).join('\n')}\n`)
  await must(['ip', '-n', names.internet, '-batch', '-'], `${internetBase().join('\n')}\n`)
  await must(inside(names.fabric, ['nft', '-f', '-']), NFT_BASE)
}

/** Devices of a namespace with their MAC addresses; empty when the namespace is gone. */
async function devicesIn(netns: string): Promise<ReadonlyMap<string, string>> {
  const ran = await run(['ip', '-n', netns, '-json', 'link', 'show'])
  if (ran.code !== 0) return new Map()
  const links = JSON.parse(ran.stdout) as { readonly ifname: string; readonly address?: string }[]
  return new Map(links.map(link => [link.ifname, link.address ?? '']))
}

/** What is routed to each device: host routes and prefixes as CIDRs. */
async function routesIn(netns: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const routes = new Map<string, string[]>()
  for (const family of ['-4', '-6']) {
    const listed = JSON.parse(await must(['ip', family, '-n', netns, '-json', 'route', 'show'])) as Route[]
    for (const { dst, dev, gateway } of listed) {
      if (dev !== undefined && gateway !== undefined && dst !== 'default') routes.set(dev, [...(routes.get(dev) ?? []), asCidr(dst)])
    }
  }
  return routes
}

interface Route {
  readonly dst: string
  readonly dev?: string
  readonly gateway?: string
}

/** The command line that runs a program in a network namespace, without the mounts that `ip netns exec` changes. */
export function inside(netns: string, argv: readonly string[]): readonly string[] {
  return ['nsenter', `--net=/run/netns/${netns}`, '--', ...argv]
}

/** Sets `net/<key>` in a namespace; /proc/sys/net shows the namespace of whoever opens it. */
async function setSysctls(netns: string, settings: readonly (readonly [string, string])[]): Promise<void> {
  const script = settings.map(([key, value]) => `echo ${value} > /proc/sys/net/${key}`).join('\n')
  await must(inside(netns, ['sh', '-e', '-s']), `${script}\n`)
}
