// SPDX-License-Identifier: Apache-2.0
import type { FabricView } from '../model/view.ts'
import { FABRIC_SYSCTLS, fabricBase, INTERNET_SYSCTLS, internetBase, NFT_BASE } from './base.ts'
import { devicesIn, observe } from './observe.ts'
import { configure, plan } from './plan.ts'
import { ipBatch, must, run } from './run.ts'
import { desiredState, type FabricState, type Link, nothing, type Place, type Placed } from './state.ts'
import { watchGone } from './watch.ts'

/** Names of the two namespaces that a fabric consists of; both carry the lab's name. */
export interface FabricNames {
  readonly fabric: string
  readonly internet: string
}

const ATTEMPTS = 3

/**
 * Makes a FabricView real. Inputs are values (`show`, `place`, `unplace`); the engine compares the state they ask for
 * with what it applied last, runs the difference, and after a complaint looks at the kernel and tries again.
 * One change runs at a time; inputs that come meanwhile are taken together in the next one. Each input's promise rejects
 * when the change that contains it could not be applied; the next input tries again.
 */
export class Fabric {
  readonly names: FabricNames
  #view: FabricView = { vSwitches: [], instances: [], enis: [], securityGroups: [], eips: [], balancers: [] }
  #placed: Placed = new Map()
  #applied: FabricState = nothing
  /** The firewall in the kernel is not known: the next transaction replaces all of it. */
  #firewallUnknown = false
  #pass: Promise<void> = Promise.resolve()
  #pending = false
  /** A device of ours is gone, and no change of ours took it. */
  #lost = false
  #stopGuard = () => {}

  private constructor(names: FabricNames) {
    this.names = names
  }

  /** Creates both namespaces, with nothing attached. */
  static async create(names: FabricNames): Promise<Fabric> {
    await must(['ip', 'netns', 'add', names.fabric])
    await must(['ip', 'netns', 'add', names.internet])
    await prepare(names)
    return new Fabric(names)
  }

  /**
   * Takes over the namespaces of a process that ended, or fills empty ones. Devices that are still right stay, so
   * connections between machines outlive a restart of the cloud. The next `show` applies what is missing.
   */
  static async adopt(names: FabricNames, view: FabricView, placed: Placed): Promise<Fabric> {
    const fabric = new Fabric(names)
    if (!(await devicesIn(names.fabric)).has('inet')) await prepare(names)
    fabric.#view = view
    fabric.#placed = placed
    fabric.#firewallUnknown = true
    await fabric.#observe()
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

  /**
   * From now on an attached device that is gone is made again in its machine. A veth pair dies with the namespace that it was moved into; the card that it
   * plays is given back to the machine by the kernel.
   */
  guard(): void {
    this.#stopGuard()
    this.#stopGuard = watchGone(this.names.fabric, async dev => {
      await this.#pass.catch(() => {})
      if (![...this.#applied.links.values()].some(link => link.dev === dev)) return
      this.#lost = true
      this.#settle().catch(e => console.error(e.message))
    })
  }

  /** Attached devices by ENI id. */
  get links(): ReadonlyMap<string, Link> {
    return this.#applied.links
  }

  /** Deletes both namespaces, and with them every device. */
  async close(): Promise<void> {
    this.#stopGuard()
    await this.#pass.catch(() => {})
    await run(['ip', 'netns', 'del', this.names.fabric])
    await run(['ip', 'netns', 'del', this.names.internet])
  }

  #settle(): Promise<void> {
    if (this.#pending) return this.#pass
    this.#pending = true
    const next = () => {
      this.#pending = false
      return this.#converge()
    }
    this.#pass = this.#pass.then(next, next)
    return this.#pass
  }

  async #converge(): Promise<void> {
    let complaints: readonly string[] = []
    if (this.#lost) await this.#observe()
    this.#lost = false
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      complaints = await this.#apply(desiredState(this.#view, this.#placed, this.#applied))
      if (complaints.length === 0) return
      await this.#observe()
    }
    throw new Error(`fabric ${this.names.fabric}: ${complaints.join('; ')}`)
  }

  async #apply(wanted: FabricState): Promise<readonly string[]> {
    const before = this.#firewallUnknown ? { ...this.#applied, firewall: nothing.firewall } : this.#applied
    const commands = plan(before, wanted)
    const complaints = [...(await ipBatch(this.names.fabric, commands.fabric))]
    for (const [netns, lines] of commands.machines) complaints.push(...(await ipBatch(netns, lines)))
    const refused = await this.#applyFirewall(commands.nft)
    this.#firewallUnknown = refused.length > 0
    const links = complaints.length === 0 ? wanted : this.#applied
    this.#applied = { ...links, firewall: wanted.firewall }
    return [...complaints, ...refused]
  }

  /** One transaction: the kernel takes all of it or nothing, so traffic never meets half a firewall. */
  async #applyFirewall(lines: readonly string[]): Promise<readonly string[]> {
    const reset = this.#firewallUnknown ? ['table inet fabric', 'delete table inet fabric', NFT_BASE] : []
    if (reset.length + lines.length === 0) return []
    const ran = await run(inside(this.names.fabric, ['nft', '-f', '-']), `${[...reset, ...lines].join('\n')}\n`)
    return ran.code === 0 ? [] : [`nft: ${ran.stderr.trim()}`]
  }

  /** Takes the kernel's word instead of memory's: what is right is kept and configured once more, strays are removed. */
  async #observe(): Promise<void> {
    const { links, stray, balancers } = await observe(this.names.fabric, this.#view, this.#placed)
    const remove = stray.map(dev => `link del dev ${dev}`)
    await ipBatch(this.names.fabric, [...remove, ...[...links.values()].flatMap(configure)])
    this.#applied = { ...this.#applied, links, blackholes: [], balancers }
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

/** The command line that runs a program in a network namespace, without the mounts that `ip netns exec` changes. */
export function inside(netns: string, argv: readonly string[]): readonly string[] {
  return ['nsenter', `--net=/run/netns/${netns}`, '--', ...argv]
}

/** Sets `net/<key>` in a namespace; /proc/sys/net shows the namespace of whoever opens it. */
async function setSysctls(netns: string, settings: readonly (readonly [string, string])[]): Promise<void> {
  const script = settings.map(([key, value]) => `echo ${value} > /proc/sys/net/${key}`).join('\n')
  await must(inside(netns, ['sh', '-e', '-s']), `${script}\n`)
}
