// SPDX-License-Identifier: Apache-2.0
import type { FabricView } from '../model/view.ts'
import { FABRIC_SYSCTLS, fabricBase, INTERNET_SYSCTLS, internetBase, NFT_BASE } from './base.ts'
import { plan } from './plan.ts'
import { ipBatch, must, run } from './run.ts'
import { desiredState, type FabricState, type Link, nothing, type Place } from './state.ts'

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

  /** Creates both namespaces. `complain` hears what could not be applied after all attempts. */
  static async create(names: FabricNames, complain: (text: string) => void): Promise<Fabric> {
    await must(['ip', 'netns', 'add', names.fabric])
    await must(['ip', 'netns', 'add', names.internet])
    await setSysctls(names.fabric, FABRIC_SYSCTLS)
    await setSysctls(names.internet, INTERNET_SYSCTLS)
    await must(['ip', '-n', names.fabric, '-batch', '-'], `${fabricBase(names.internet).join('\n')}\n`)
    await must(['ip', '-n', names.internet, '-batch', '-'], `${internetBase().join('\n')}\n`)
    await must(inside(names.fabric, ['nft', '-f', '-']), NFT_BASE)
    return new Fabric(names, complain)
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
      this.#applied = await this.#observe(wanted)
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
   * After a complaint: devices that exist are kept, their routes and the firewall are written again (each line may be
   * repeated), the others are made anew.
   */
  async #observe(wanted: FabricState): Promise<FabricState> {
    const listed = await run(['ip', '-n', this.names.fabric, '-brief', 'link', 'show'])
    const devices = new Set(listed.stdout.split('\n').map(line => line.split(/[\s@]/)[0] ?? ''))
    const known = new Map([...this.#applied.links, ...wanted.links])
    const links = new Map([...known].filter(([, link]) => devices.has(link.dev)).map(([id, link]) => [id, { ...link, routes: [] }]))
    await run(inside(this.names.fabric, ['nft', '-f', '-']), `delete table inet fabric\n${NFT_BASE}`)
    return { links, blackholes: [], firewall: nothing.firewall }
  }
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
