// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { type Conflist, conflistText } from '#config/conflist.ts'
import type { DatapathKind } from '#config/datapath-switch.ts'
import { Complaint } from '#daemon/complaint.ts'
import type { Context } from '#daemon/context.ts'
import { conflistName, mountedConflist } from '#daemon/datapath-inputs.ts'
import type { Host, Options } from '#daemon/deps.ts'
import { tellNode } from '#daemon/node-event.ts'
import type { KnownMode } from '#daemon/pod.ts'
import { AppError } from '#lib/errors.ts'

const subject = 'CNI configuration'
/** Milliseconds between two looks at the mounted files: a ConfigMap that changes appears there without a signal. */
const period = 5_000

type Needs = Pick<Context, 'facts' | 'log' | 'kube' | 'cluster' | 'options' | 'host' | 'clock' | 'stopping'>

/**
 * Keeps the CNI configuration list of the container runtime as the mounted configuration says. The runtime takes the node as
 * network-ready from the first list on, so it is started only when the daemon serves. A configuration that is refused is told by an
 * Event on the node, and the list that is there stays.
 */
export class CniConf {
  readonly #ctx: Needs
  readonly #complaint: Complaint
  #warned = ''
  #cancel = () => {}
  #stopped = false

  constructor(ctx: Needs) {
    this.#ctx = ctx
    this.#complaint = new Complaint(ctx, subject)
  }

  /** Resolves when the runtime has a list: of the present configuration, or the last good one. */
  async start(): Promise<void> {
    const { clock, stopping, facts } = this.#ctx
    while (!this.#look()) {
      facts.notReady = `the container runtime has no CNI configuration: ${facts.trace.get(subject)}`
      await clock.sleep(period, stopping)
    }
    this.#again()
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  #again(): void {
    if (this.#stopped) return
    this.#cancel = this.#ctx.clock.after(period, () => {
      this.#look()
      this.#again()
    })
  }

  /** What is in the mounted list and has no effect, once for each set. */
  #warn({ unknownKeys, dropped }: Conflist): void {
    const { log } = this.#ctx
    const all = JSON.stringify([unknownKeys, dropped])
    if (all === this.#warned) return
    this.#warned = all
    if (unknownKeys.length > 0) log.warn({ keys: unknownKeys }, 'the CNI configuration has keys that nobody knows; they have no effect')
    if (dropped.length === 0) return
    const message = `plugins of the mounted CNI configuration that the runtime does not get: ${dropped.join(', ')}`
    log.warn({ dropped }, message)
    tellNode(this.#ctx, { type: 'Warning', reason: 'CniPluginDropped', message, action: 'Config' })
  }

  /** Whether the runtime has a list afterwards. */
  #look(): boolean {
    const { host, options, log, facts } = this.#ctx
    try {
      const list = mountedConflist(host, options)
      this.#warn(list)
      if (facts.datapath === undefined) {
        facts.trace.set(subject, `the datapath is not chosen: ${whyNotChosen(facts.trace)}`)
        return isPresent(host, join(options.hostCniDir, conflistName))
      }
      if (installConflist(host, options, list, facts.datapath.kind, facts.eniMode))
        log.info({ conflist: join(options.hostCniDir, conflistName) }, 'the CNI configuration list was written')
      this.#complaint.settled()
      return true
    } catch (e) {
      const present = isPresent(host, join(options.hostCniDir, conflistName))
      this.#complaint.tell(e, present ? 'the last good one stays' : 'and there is no earlier one')
      return present
    }
  }
}

/** Brings the host's list to the mounted configuration; whether it had to be written. Throws `conflist-unwritable`. */
function installConflist(
  host: Host,
  options: Pick<Options, 'hostCniDir'>,
  list: Conflist,
  datapath: DatapathKind,
  mode: KnownMode,
): boolean {
  const text = conflistText(list, datapath, mode === 'unknown' ? 'shared' : mode)
  const path = join(options.hostCniDir, conflistName)
  if (host.read(path) === text) return false
  try {
    host.writeAtomically(path, text)
  } catch (cause) {
    throw new AppError('conflist-unwritable', 'cannot write the CNI configuration', { cause })
  }
  return true
}

/** What was asked for cannot be taken, or the kernel refuses it. */
function whyNotChosen(trace: Context['facts']['trace']): string {
  const refused = trace.get('choice of the datapath') ?? 'good'
  return refused === 'good' ? (trace.get('datapath') ?? 'not yet') : refused
}

function isPresent(host: Host, path: string): boolean {
  try {
    return host.read(path) !== undefined
  } catch {
    return false
  }
}
