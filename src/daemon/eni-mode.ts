// SPDX-License-Identifier: Apache-2.0
import { modeConflict, storedMode } from '#config/eni-mode.ts'
import { Complaint } from '#daemon/complaint.ts'
import type { Context } from '#daemon/context.ts'
import { readCapabilities } from '#daemon/datapath-inputs.ts'
import { type EniMode, eniModeIn, eniModeOf } from '#kube/crd/node.ts'
import { AppError } from '#lib/errors.ts'

/** Milliseconds between two looks while somebody has to put something right. */
const period = 1_000

/**
 * Whether the pods of this node share its ENIs, as the Node CR says. It never changes while a process lives: pods and ENIs of one mode are of no use in
 * the other. A change is told by an Event; a daemon that starts serves no pods until it has been taken back or the node has joined anew.
 */
export class EniModeKeeper {
  readonly #ctx: Context
  readonly #complaint: Complaint
  #off = () => {}

  constructor(ctx: Context) {
    this.#ctx = ctx
    this.#complaint = new Complaint(ctx, 'ENI mode')
  }

  /** Resolves when the mode is known. The Node CR must have been seen. */
  async start(): Promise<void> {
    const { facts, clock, poolChanged, stopping, cluster, pods } = this.#ctx
    for (;;) {
      const mode = this.#look('and no pod is served')
      if (mode !== undefined) {
        facts.eniMode = mode
        break
      }
      facts.notReady = `the mode of the node is not clear: ${facts.trace.get('ENI mode') ?? 'its Node CR is gone'}`
      await poolChanged.next(clock, period, stopping)
      stopping.throwIfAborted()
    }
    pods.changed.fire()
    this.#off = cluster.changed.on(() => void this.#look('the node goes on as it is'))
  }

  stop(): void {
    this.#off()
  }

  #look(instead: string): EniMode | undefined {
    const { host, options, cluster, facts } = this.#ctx
    const { node, k8sNode } = cluster
    if (node === undefined) return undefined
    const record = eniModeOf(node)
    const stored = facts.eniMode === 'unknown' ? storedMode(readCapabilities(host, options.capabilitiesPath).capabilities) : facts.eniMode
    if (stored === undefined && k8sNode === undefined) {
      // The record may be that of another machine, which had the name before.
      facts.trace.set('ENI mode', 'the Kubernetes node has not been seen')
      return undefined
    }
    const conflict = modeConflict({ record, stored, label: k8sNode && eniModeIn(k8sNode.metadata.labels) })
    if (conflict !== undefined) {
      this.#complaint.tell(new AppError('bad-config', conflict), instead)
      return undefined
    }
    this.#complaint.settled()
    facts.trace.set('ENI mode', record)
    return record
  }
}
