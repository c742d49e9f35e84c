// SPDX-License-Identifier: Apache-2.0
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { nothing } from '#datapath/desired.ts'
import { diff } from '#datapath/diff.ts'
import type { NodeDatapath } from '#datapath/port.ts'
import { hostSetOps, wantedHostSet } from '#datapath/v2/host-set.ts'
import { importedFlows } from '#datapath/v2/import.ts'
import { staleEntries } from '#datapath/v2/stale.ts'
import { block, mode } from '#kernel/bpf/words.ts'
import { applyAll, observeHost } from '#kernel/host.ts'
import { modeEntry, modeIn, modeOf, modeOp } from '#kernel/mode.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { Kernel } from '#kernel/port.ts'
import type { Clock } from '#lib/clock.ts'
import { isAppError } from '#lib/errors.ts'
import type { Logger } from '#lib/log.ts'

export type Programs = Extract<NodeDatapath, { kind: 'v2' }>

interface NodeDeps {
  readonly kernel: Kernel
  readonly clock: Clock
  readonly log: Logger
}

/** How long after a switch what goes on in the middle of an unknown flow goes to the host stack. Milliseconds. */
const learning = 60_000
/** Where no policy was written, the policy bit allows everything. */
const forwarding = mode.guard | mode.forward | mode.policy
const addressesQuery = { links: 'all', addrs: true, families: [4, 6], entries: [modeEntry] } as const

/** What the programs need of the node and of no pod: they are loaded, know what belongs to the host stack, and the mode says that they forward. */
export class ProgrammedNode {
  readonly generation: string
  readonly #deps: NodeDeps
  readonly #wanted: Programs
  /** What the mode is to be; undefined until every pod is ready. */
  #mode: number | undefined
  #cancel: () => void = () => {}

  private constructor(deps: NodeDeps, wanted: Programs, generation: string) {
    this.#deps = deps
    this.#wanted = wanted
    this.generation = generation
  }

  /** Loads the programs, or finds them, and tells them of the node. Throws KernelError. */
  static async load(deps: NodeDeps, wanted: Programs): Promise<ProgrammedNode> {
    const { generation, created } = await deps.kernel.loadPrograms()
    const node = new ProgrammedNode(deps, wanted, generation)
    const seen = (await modeOf(deps.kernel)) ?? 0
    deps.log.info({ generation, created, mode: seen }, 'programs loaded')
    // It forwards already: this process is not the first. What it was learning it goes on learning for a while.
    if (seen !== 0) node.#forward(seen & mode.learn)
    await node.removeStale()
    await node.repair()
    return node
  }

  /** After every pod was made ready: from now on packets go past the host stack. A node that forwards already goes on. */
  async start(pods: readonly SharedEniAttachment[]): Promise<void> {
    if (this.#mode !== undefined) return
    if (this.#wanted.learn) await this.#importFlows(pods)
    this.#forward(this.#wanted.learn ? mode.learn : 0)
    await applyAll(this.#deps.kernel, [modeOp(this.#mode ?? forwarding)])
    this.#deps.log.info({ mode: this.#mode }, 'packets go past the host stack')
  }

  stop(): void {
    this.#cancel()
  }

  /** Puts right what is the node's: the addresses of its devices come and go. A mode of 0 stays, since somebody switched the programs off. */
  async repair(): Promise<void> {
    const { kernel, log } = this.#deps
    const there = await kernel.mapEntries('host_set')
    const host = await observeHost(kernel, addressesQuery)
    const seen = modeIn(host)
    const isOff = seen === undefined || seen === 0
    const ops = hostSetOps(wantedHostSet(this.#wanted, host), there)
    if (this.#mode !== undefined && !isOff && seen !== this.#mode) ops.push(modeOp(this.#mode))
    if (ops.length === 0) return
    await applyAll(kernel, ops)
    log.info({ operations: ops.length }, 'the programs were told of a change of the node')
  }

  #forward(learn: number): void {
    this.#mode = forwarding | learn
    if (learn === 0) return
    this.#cancel = this.#deps.clock.after(learning, () => {
      this.#mode = forwarding
      this.repair().catch(err => this.#deps.log.warn({ err }, 'the programs go on learning until the next repair'))
    })
  }

  /** Flows that the host stack is translating stay with it. A kernel that cannot tell them leaves it to the learning. */
  async #importFlows(pods: readonly SharedEniAttachment[]): Promise<void> {
    const { kernel, log } = this.#deps
    try {
      const flows = await kernel.translatedFlows()
      const ops = importedFlows(flows, pods, now())
      await applyAll(kernel, ops)
      log.info({ flows: flows.length, entries: ops.length }, 'translated flows imported')
    } catch (err) {
      if (!isAppError(err) || err.code !== 'kernel-refused') throw err
      log.warn({ err }, 'translated flows cannot be imported: those that are silent for a minute may break')
    }
  }

  /** Takes away the entries of pods whose devices are gone, or among the `doomed`. Entries are read first: what is added meanwhile has a device. */
  async removeStale(doomed: readonly number[] = []): Promise<void> {
    const { kernel } = this.#deps
    const [endpoints, addresses] = [await kernel.mapEntries('endpoints'), await kernel.mapEntries('addresses')]
    const host = await observeHost(kernel, { links: 'all', families: [] })
    await applyAll(kernel, staleEntries(endpoints, addresses, new Set(host.links.map(l => l.index).filter(n => !doomed.includes(n)))))
  }
}

/** Back to the host stack: at once by the mode, then for good. Does nothing where no programs are. Throws KernelError. */
export async function endPrograms(kernel: Kernel): Promise<readonly KernelOp[]> {
  const host = await observeHost(kernel, { links: 'all', families: [], hooks: true, entries: [modeEntry] })
  const blocks: readonly number[] = Object.values(block)
  const ours = host.hooks.filter(h => [h.ingress, h.egress].some(b => b !== undefined && blocks.includes(b)))
  const devices = host.links.filter(l => ours.some(h => h.ifIndex === l.index))
  const hooks = devices.map(({ name }) => ({ ns: 'host', dev: name }) as const)
  const mode: KernelOp[] = (modeIn(host) ?? 0) === 0 ? [] : [modeOp(0)]
  const ops = [...mode, ...diff({ ...nothing, hooks }, { host })]
  await applyAll(kernel, ops)
  await kernel.unloadPrograms()
  return ops
}

/** The kernel's clock as the programs read it: units of 2^20 ns since boot. */
function now(): number {
  return Number(BigInt.asUintN(32, process.hrtime.bigint() >> 20n))
}
