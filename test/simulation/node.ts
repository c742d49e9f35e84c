// SPDX-License-Identifier: Apache-2.0

import { startDaemon } from '#daemon/daemon.ts'
import { defaultOptions } from '#daemon/deps.ts'
import { noObserver } from '#daemon/observer.ts'
import { noSample } from '#daemon/programs.ts'
import type { Datapath } from '#datapath/port.ts'
import type { Ledger } from '#ipam/ledger.ts'
import type { EniMode } from '#kube/crd/node.ts'
import type { Kube } from '#kube/port.ts'
import { silent } from '#lib/log.ts'
import type { Mac } from '#net/mac.ts'
import type { CniHandler } from '#rpc/cni-server.ts'
import { DatapathModel } from '../support/datapath-model.ts'
import type { KubeModel } from '../support/kube-model.ts'
import { emptyDisk, LedgerMemory } from '../support/ledger-memory.ts'
import type { World } from './clock.ts'
import { Incarnation } from './incarnation.ts'
import { unannounced } from './unannounced.ts'

/** A sandbox as the runtime has it: it lives from the answer of its ADD until its namespace is torn down. */
export interface Sandbox {
  readonly id: string
  readonly podUid: string
  readonly netns: string
  /** What ADD answered; empty until then. */
  ips: readonly string[]
}

export interface Given {
  readonly ips: readonly string[]
  readonly eniId: string
}

/** What a mutant may put between the daemon and its ports. */
export interface DaemonPorts {
  readonly kube: (kube: Kube) => Kube
  readonly ledger: (ledger: Ledger) => Ledger
  readonly datapath: (datapath: Datapath) => Datapath
  readonly handler: (handler: CniHandler) => CniHandler
}

const conflist = JSON.stringify({ cniVersion: '0.4.0', name: 'terway-chainer', plugins: [{ type: 'terway', eniip_virtual_type: 'veth' }] })

interface SimNodeOptions {
  readonly name: string
  readonly instanceId: string
  readonly world: World
  readonly api: KubeModel
  readonly conf: string
  readonly ports: DaemonPorts
  readonly central: boolean
  readonly mode: EniMode
}

/** One machine: its kernel, disk and runtime outlive its daemons. */
export class SimNode {
  readonly name: string
  readonly instanceId: string
  readonly sandboxes = new Map<string, Sandbox>()
  /** What ADD answered, by container id, since the last boot. */
  readonly given = new Map<string, Given>()
  /** Its daemon is one of Terway's protocol: it announces nothing, and the controller binds. */
  readonly central: boolean
  /** Whether its pods share ENIs or have one each. */
  readonly mode: EniMode
  /** Its Kubernetes node is not deleted again before this time. */
  lostAgainAt = 0
  disk = emptyDisk()
  kernel: DatapathModel
  daemon: Incarnation | undefined
  handler: CniHandler | undefined
  readonly #files = new Map<string, string>()
  readonly #world: World
  readonly #api: KubeModel
  readonly #ports: DaemonPorts
  #boot = 1
  starts = 0

  constructor(o: SimNodeOptions) {
    this.name = o.name
    this.instanceId = o.instanceId
    this.central = o.central
    this.mode = o.mode
    this.#world = o.world
    this.#api = o.api
    this.#ports = o.ports
    this.kernel = this.#freshKernel(new Set())
    this.#files.set(`${defaultOptions.cniConfDir}/10-terway.conflist`, conflist)
    this.#files.set(defaultOptions.configPath, o.conf)
  }

  /** Starts a daemon over whatever the last one left. */
  start(): void {
    const life = new Incarnation(this.#world)
    this.daemon = life
    this.starts++
    const host = {
      netns: (path: string): 'live' | 'absent' => (this.sandboxes.has(path.replace('/run/netns/', '')) ? 'live' : 'absent'),
      list: (): readonly string[] => [...this.sandboxes.values()].map(s => s.netns),
      read: (path: string) => this.#files.get(path),
      writeAtomically: (path: string, text: string) => void this.#files.set(path, text),
      remove: (path: string) => void this.#files.delete(path),
    }
    const kube = this.#api.client(`daemon-${this.name}`)
    const deps = {
      kube: life.kube(this.#ports.kube(this.central ? unannounced(kube) : kube)),
      datapath: life.datapath(this.#ports.datapath(this.kernel)),
      ledger: this.#ports.ledger(new LedgerMemory(this.disk, `boot-${this.#boot}`)),
      clock: life.clock,
      log: silent,
      observer: noObserver,
      host,
      programs: {
        ...this.kernel.programs,
        probe: () => Promise.resolve([]),
        sample: () => Promise.resolve(noSample),
        takenDevice: () => Promise.resolve(undefined),
        leftToHostStack: () => Promise.resolve([]),
      },
      primaryVSwitch: () => Promise.resolve(undefined),
    }
    startDaemon(deps, { ...defaultOptions, nodeName: this.name }, async options => {
      if (life.alive) this.handler = this.#ports.handler(options.handler)
      return { close: closed => closed() }
    }).catch(() => undefined)
  }

  crash(): void {
    this.daemon?.kill()
    this.daemon = undefined
    this.handler = undefined
  }

  /** Power off and on: no sandbox, device or rule survives; disk and ENIs do. */
  reboot(): void {
    this.crash()
    this.sandboxes.clear()
    this.given.clear()
    this.kernel = this.#freshKernel(this.kernel.enis)
    this.#boot++
  }

  /** What the machine's bus shows. */
  plug(macs: ReadonlySet<Mac>): void {
    this.kernel.enis.clear()
    for (const mac of macs) this.kernel.enis.add(mac)
  }

  /** The runtime has the answer of the sandbox's ADD. */
  answered({ id, ips }: Sandbox): void {
    this.given.set(id, { ips, eniId: this.disk.leases.get(id)?.attachment.eni.eniId ?? '' })
  }

  /** One CNI call; fails when the daemon is down or dies before it answers. */
  async call(request: Parameters<CniHandler>[0]): Promise<object | undefined> {
    const { handler, daemon } = this
    if (handler === undefined || daemon === undefined) throw new Error('terwayd is down')
    return new Promise((resolve, reject) => {
      const off = daemon.onKill(() => reject(new Error('terwayd died')))
      handler(request, this.#world.now()).then(
        value => {
          off()
          if (daemon.alive) resolve(value)
        },
        error => {
          off()
          if (daemon.alive) reject(error)
        },
      )
    })
  }

  #freshKernel(enis: ReadonlySet<Mac>): DatapathModel {
    const kernel = new DatapathModel(this.#world)
    kernel.latency = () => this.#world.int(20)
    for (const mac of enis) kernel.enis.add(mac)
    return kernel
  }
}
