// SPDX-License-Identifier: Apache-2.0
import type { Attachment, SharedEniAttachment } from '#datapath/attachment.ts'
import { nothing } from '#datapath/desired.ts'
import { diff } from '#datapath/diff.ts'
import type { Programs } from '#datapath/port.ts'
import { limitEntry, limitOps } from '#datapath/v2/flow-limit.ts'
import { flowTables, forgottenFlows } from '#datapath/v2/forget.ts'
import { hostSetOps, wantedHostSet } from '#datapath/v2/host-set.ts'
import { importedFlows } from '#datapath/v2/import.ts'
import { mapSizes } from '#datapath/v2/map-sizes.ts'
import { keptMonitor, repairedMode, servesNow, wantedMode } from '#datapath/v2/node-mode.ts'
import { nodeConfigEntry, nodeDevices, nodeSideOps, nodeSideQuery, takenUplink } from '#datapath/v2/node-side.ts'
import { namespaceSweep, namespacesWithEni } from '#datapath/v2/served-pod.ts'
import { attachSockets, detachSockets } from '#datapath/v2/sockets.ts'
import { staleEntries } from '#datapath/v2/stale.ts'
import { type BackendOf, backendsOf } from '#datapath/v2/taken-backends.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { seenNow } from '#kernel/bpf/seen.ts'
import { block, mode, serviceWord } from '#kernel/bpf/words.ts'
import { applyAll, observeHost } from '#kernel/host.ts'
import { modeEntry, modeIn, modeOf, modeOp } from '#kernel/mode.ts'
import { monitorEntries, monitorsIn } from '#kernel/monitors.ts'
import { formatOp, type KernelOp } from '#kernel/op.ts'
import type { Kernel, LoadedPrograms, TranslatedFlow } from '#kernel/port.ts'
import type { LinkState, NsState } from '#kernel/state.ts'
import type { Clock } from '#lib/clock.ts'
import { isAppError } from '#lib/errors.ts'
import type { Logger } from '#lib/log.ts'

interface NodeDeps {
  readonly kernel: Kernel
  readonly clock: Clock
  readonly log: Logger
  /** The pods that are there now. */
  readonly live: () => readonly Attachment[]
}

/** How long after a switch what goes on in the middle of an unknown flow goes to the host stack. Milliseconds. */
const learning = 60_000
/** Between two looks whether the Services are in the maps. Milliseconds. */
const syncedPeriod = 1_000
const { service_states } = maps
const syncedEntry = { map: 'service_states', key: service_states.key.encode({ index: serviceWord.synced }).toString('hex') } as const

/** What the programs need of the node and of no pod: they are loaded, know what is the node's own, and the mode says what they do. */
export class ProgrammedNode {
  readonly generation: string
  readonly #deps: NodeDeps
  readonly #wanted: Programs
  /** Undefined until every pod is ready: the mode stays what it was. */
  #state: { readonly serves: boolean; readonly learns: boolean } | undefined
  #cancelLearning: () => void = () => {}
  #cancelWaiting: () => void = () => {}
  #stopped = false
  /** Whether other programs ran when these were loaded. */
  readonly #replaces: boolean
  /** What was logged of what cannot be done: each is met every few seconds. */
  readonly #told = new Set<string>()

  private constructor(deps: NodeDeps, wanted: Programs, { generation, others }: LoadedPrograms) {
    this.#deps = deps
    this.#wanted = wanted
    this.generation = generation
    this.#replaces = others.length > 0
  }

  /** Loads the programs, or finds them, and tells them of the node. Throws KernelError. */
  static async load(deps: NodeDeps, wanted: Programs): Promise<ProgrammedNode> {
    const loaded = await deps.kernel.loadPrograms(mapSizes(wanted.flowEntries))
    const node = new ProgrammedNode(deps, wanted, loaded)
    deps.log.info({ ...loaded, mode: await modeOf(deps.kernel) }, 'programs loaded')
    await node.removeStale()
    await node.repair()
    if (!node.services) await detachSockets(deps.kernel)
    return node
  }

  /** Whether Services are the programs' business. */
  get services(): boolean {
    return this.#wanted.services !== undefined
  }

  /** After every pod was made ready: the mode says what the programs do from now on. What they do already goes on, what they were learning too. */
  async start(pods: readonly Attachment[]): Promise<void> {
    const { kernel } = this.#deps
    const seen = (await modeOf(kernel)) ?? 0
    const serves = servesNow({ isWanted: this.services, mode: seen, pods: pods.length, isSynced: await this.#isSynced() })
    const isNew = (wantedMode(this.#wanted.kind, serves, false) & (mode.forward | mode.service) & ~seen) !== 0
    await this.#turnTo(serves, isNew ? this.#wanted.learn : (seen & mode.learn) !== 0, isNew && this.#wanted.learn ? sharing(pods) : [])
    if (this.services) await this.#sweepNamespaces(pods)
    if (this.services && !serves) this.#waitForServices()
    if (this.#replaces) await this.#removeReplaced()
  }

  /** Programs that ran before these run nowhere now. Those that some device or socket has still stay until the next start. */
  async #removeReplaced(): Promise<void> {
    const { kernel, log } = this.#deps
    try {
      await kernel.loadPrograms(mapSizes(this.#wanted.flowEntries))
    } catch (err) {
      if (!isAppError(err) || err.code !== 'kernel-refused') throw err
      log.warn({ err }, 'programs that run no more stay pinned')
    }
  }

  async #sweepNamespaces(pods: readonly Attachment[]): Promise<void> {
    const { kernel, log } = this.#deps
    const ops = await namespaceSweep(kernel, namespacesWithEni(pods))
    await applyAll(kernel, ops)
    if (ops.length > 0) log.info({ operations: ops.map(formatOp) }, 'namespaces of pods that are gone are forgotten')
  }

  stop(): void {
    this.#stopped = true
    this.#cancelLearning()
    this.#cancelWaiting()
  }

  /** Puts right what is the node's: the addresses of its devices come and go. A node that somebody switched off stays so. */
  async repair(): Promise<void> {
    const { kernel, log } = this.#deps
    const there = await kernel.mapEntries('host_set')
    const host = await this.#look()
    const ops = [...hostSetOps(wantedHostSet(this.#wanted, host), there), ...nodeSideOps(this.#wanted.services, host, this.generation)]
    ops.push(...limitOps(this.#wanted.flowLimit, host))
    const seen = modeIn(host) ?? 0
    const right = repairedMode(this.#mode, seen, monitorsIn(host, seenNow()).length > 0)
    if (right !== seen) ops.push(modeOp(right))
    this.#tell(takenWords(this.services ? takenUplink(host) : undefined))
    await applyAll(kernel, ops)
    if (ops.length > 0) log.info({ operations: ops.map(formatOp) }, 'the programs were told of a change of the node')
    if (this.services) await this.#attachSockets()
  }

  /** Pods are served also where the kernel refuses this; the daemon tells what it lacks. */
  async #attachSockets(): Promise<void> {
    try {
      await attachSockets(this.#deps.kernel, this.generation)
    } catch (err) {
      if (!isAppError(err) || err.code !== 'kernel-refused') throw err
      this.#tell(`processes on the node's own network do not reach Services: ${err.message}`)
    }
  }

  get #mode(): number | undefined {
    return this.#state && wantedMode(this.#wanted.kind, this.#state.serves, this.#state.learns)
  }

  /** `pods`: those whose flows the host stack may be translating. */
  async #turnTo(serves: boolean, learns: boolean, pods: readonly SharedEniAttachment[]): Promise<void> {
    const { kernel, clock, log } = this.#deps
    if (pods.length > 0) await this.#importFlows(pods, serves)
    this.#state = { serves, learns }
    this.#cancelLearning()
    if (learns) this.#cancelLearning = clock.after(learning, () => this.#endLearning())
    const seen = await modeOf(kernel)
    const wanted = keptMonitor(this.#mode ?? 0, seen ?? 0)
    if (seen === wanted) return
    await applyAll(kernel, [modeOp(wanted)])
    log.info({ mode: wanted }, 'the programs have another mode')
    if ((((seen ?? 0) ^ wanted) & mode.service) !== 0) await this.#forgetFlows(serves)
  }

  async #forgetFlows(serves: boolean): Promise<void> {
    const { kernel } = this.#deps
    for (const table of flowTables) await applyAll(kernel, forgottenFlows(table, await kernel.mapEntries(table), serves))
  }

  #endLearning(): void {
    this.#state = this.#state && { ...this.#state, learns: false }
    this.repair().catch(err => this.#deps.log.warn({ err }, 'the programs go on learning until the next repair'))
  }

  /** Until every Service is in the maps, pods keep those that kube-proxy serves. */
  #waitForServices(): void {
    this.#cancelWaiting = this.#deps.clock.after(syncedPeriod, () => {
      this.#serveWhenSynced()
        .catch(err => this.#deps.log.warn({ err }, 'the programs cannot be told to translate Services yet'))
        .finally(() => {
          if (!this.#stopped && this.#state?.serves === false) this.#waitForServices()
        })
    })
  }

  async #serveWhenSynced(): Promise<void> {
    if (this.#stopped || !(await this.#isSynced())) return
    await this.#turnTo(true, true, sharing(this.#deps.live()))
  }

  async #isSynced(): Promise<boolean> {
    const host = await observeHost(this.#deps.kernel, { links: [], families: [], entries: [syncedEntry] })
    return host.entries.some(e => service_states.value.decode(Buffer.from(e.value, 'hex')).value !== 0n)
  }

  /** What joins which device is asked of two at most: a node has many. */
  async #look(): Promise<NsState> {
    const { kernel } = this.#deps
    const { hooks, blocks, ...rest } = nodeSideQuery
    const host = await observeHost(kernel, {
      links: 'all',
      addrs: true,
      families: [4, 6],
      entries: [...monitorEntries, nodeConfigEntry, limitEntry],
      ...rest,
    })
    const links = nodeDevices(host)
    const side = await observeHost(kernel, { links, families: [], hooks, blocks })
    return { ...host, hooks: side.hooks, filters: side.filters }
  }

  #tell(problem: string): void {
    if (problem === '' || this.#told.has(problem)) return
    this.#told.add(problem)
    this.#deps.log.warn({}, problem)
  }

  /** Flows that the host stack is translating stay with it. A kernel that cannot tell them leaves it to the learning. */
  async #importFlows(pods: readonly SharedEniAttachment[], serves: boolean): Promise<void> {
    const { kernel, log } = this.#deps
    try {
      const flows = await kernel.translatedFlows()
      const ops = importedFlows(flows, pods, seenNow(), await this.#backendsOf(serves ? flows : []))
      await applyAll(kernel, ops)
      log.info({ flows: flows.length, entries: ops.length }, 'translated flows imported')
    } catch (err) {
      if (!isAppError(err) || err.code !== 'kernel-refused') throw err
      log.warn({ err }, 'translated flows cannot be imported: those that are silent for a minute may break')
    }
  }

  /** Maps of Services may be large, and mean nothing where kube-proxy serves. */
  async #backendsOf(flows: readonly TranslatedFlow[]): Promise<BackendOf> {
    const { kernel } = this.#deps
    if (flows.length === 0) return () => undefined
    const [services, backend_slots, backends] = [
      await kernel.mapEntries('services'),
      await kernel.mapEntries('backend_slots'),
      await kernel.mapEntries('backends'),
    ]
    return backendsOf({ services, backend_slots, backends })
  }

  /** Takes away the entries of pods whose devices are gone, or among the `doomed`. Entries are read first: what is added meanwhile has a device. */
  async removeStale(doomed: readonly number[] = []): Promise<void> {
    const { kernel } = this.#deps
    const [endpoints, addresses] = [await kernel.mapEntries('endpoints'), await kernel.mapEntries('addresses')]
    const host = await observeHost(kernel, { links: 'all', families: [] })
    await applyAll(kernel, staleEntries(endpoints, addresses, new Set(host.links.map(l => l.index).filter(n => !doomed.includes(n)))))
  }
}

/** Those whose packets the host stack carries, and may be translating. */
function sharing(pods: readonly Attachment[]): readonly SharedEniAttachment[] {
  return pods.filter(a => a.kind === 'shared-eni')
}

function takenWords(device: LinkState | undefined): string {
  if (device === undefined) return ''
  return `${device.name} has an ingress or clsact qdisc of somebody else: nobody reaches Services by this node's addresses (tc qdisc show)`
}

/** Back to the host stack: at once by the mode, then for good. Does nothing where no programs are. Throws KernelError. */
export async function endPrograms(kernel: Kernel): Promise<readonly KernelOp[]> {
  const entries = [modeEntry, nodeConfigEntry]
  const host = await observeHost(kernel, { links: 'all', families: [4, 6], entries, ...nodeSideQuery })
  const blocks: readonly number[] = Object.values(block)
  const ours = host.hooks.filter(h => [h.ingress, h.egress].some(b => b !== undefined && blocks.includes(b)))
  const devices = host.links.filter(l => ours.some(h => h.ifIndex === l.index))
  const hooks = devices.map(({ name }) => ({ ns: 'host', dev: name }) as const)
  const mode: KernelOp[] = (modeIn(host) ?? 0) === 0 ? [] : [modeOp(0)]
  const left = { ...host, hooks: [] }
  const ops = [...mode, ...diff({ ...nothing, hooks }, { host }), ...nodeSideOps(undefined, left, '')]
  await applyAll(kernel, ops)
  await kernel.unloadPrograms()
  return ops
}
