// SPDX-License-Identifier: Apache-2.0
import type { Context } from '#daemon/context.ts'
import { tellNode } from '#daemon/node-event.ts'
import { isHeldHere } from '#daemon/repair.ts'
import { addressesOf, podIdOf } from '#ipam/book.ts'
import type { Lease } from '#ipam/ledger.ts'
import { messageOf } from '#lib/errors.ts'

/** Milliseconds between two looks: such a pod has its network, only another way. */
const period = 30_000
const cause = "the pod's device on the node has an ingress or clsact qdisc of somebody else, which Terway's programs cannot join"
const consequences: Readonly<Record<Lease['attachment']['kind'], string>> = {
  'shared-eni': 'the pod goes on through the host stack',
  'exclusive-eni': "nobody reaches it by the node's addresses",
}

/** Tells of pods that programs leave to the host stack, once for each sandbox, and of the node's own device. */
export class ForeignHooks {
  readonly #ctx: Context
  /** The node's device of which it was told. */
  #toldDevice: string | undefined
  /** Containers of which it was told. */
  #told = new Set<string>()
  #stopped = false
  #cancel = () => {}

  constructor(ctx: Context) {
    this.#ctx = ctx
  }

  start(): void {
    this.#cancel = this.#ctx.clock.after(period, () => {
      if (this.#stopped) return
      void this.look()
      this.start()
    })
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  /** Never rejects. */
  async look(): Promise<void> {
    const { facts, book, programs, log } = this.#ctx
    if (facts.datapath?.hasPrograms !== true) return
    try {
      const left = new Set<string>(await programs.leftToHostStack())
      const leases = book.leases().filter(l => isHeldHere(l) && addressesOf(l).some(ip => left.has(ip)))
      for (const lease of leases) if (!this.#told.has(lease.containerId)) this.#tell(lease)
      this.#told = new Set(leases.map(l => l.containerId))
      this.#tellDevice(await programs.takenDevice())
    } catch (err) {
      log.warn({ err }, `the programs cannot be asked for pods that they leave to the host stack: ${messageOf(err)}`)
    }
  }

  #tellDevice(device: string | undefined): void {
    if (device !== undefined && device !== this.#toldDevice) {
      const text = `the node's device ${device} has an ingress or clsact qdisc of somebody else: nobody reaches Services by the node's addresses (tc qdisc show)`
      tellNode(this.#ctx, { type: 'Warning', reason: 'DataPathForeign', message: text, action: 'DataPath' })
    }
    this.#toldDevice = device
  }

  #tell(lease: Lease): void {
    const { kube, log } = this.#ctx
    const message = `${cause}: ${consequences[lease.attachment.kind]} (tc qdisc show)`
    log.warn({ pod: podIdOf(lease), container: lease.containerId }, message)
    const about = { apiVersion: 'v1', kind: 'Pod', name: lease.podName, namespace: lease.podNamespace, uid: lease.podUid }
    kube.event({ about, type: 'Warning', reason: 'DataPathForeign', message, action: 'DataPath' })
  }
}
