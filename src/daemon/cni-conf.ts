// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { makeConflist } from '#config/conflist.ts'
import { deviceMtu } from '#config/device-mtu.ts'
import { Complaint } from '#daemon/complaint.ts'
import type { Context } from '#daemon/context.ts'
import type { Host, Options } from '#daemon/deps.ts'
import { AppError } from '#lib/errors.ts'

const subject = 'CNI configuration'
const target = '10-terway.conflist'
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

  /** Whether the runtime has a list afterwards. */
  #look(): boolean {
    const { host, options, log } = this.#ctx
    try {
      const { outcome, unknownKeys } = installConflist(host, options)
      if (outcome === 'written') log.info({ conflist: join(options.hostCniDir, target) }, 'the CNI configuration list was written')
      const unknown = unknownKeys.join(', ')
      if (unknown !== this.#warned && unknown !== '')
        log.warn({ keys: unknownKeys }, 'the CNI configuration has keys that nobody knows; they have no effect')
      this.#warned = unknown
      this.#complaint.settled()
      return true
    } catch (e) {
      const present = isPresent(host, join(options.hostCniDir, target))
      this.#complaint.tell(e, present ? 'the last good one stays' : 'and there is no earlier one')
      return present
    }
  }
}

/** Brings the host's list to the mounted configuration. Throws `bad-config` or `conflist-unwritable`. */
function installConflist(
  host: Host,
  options: Pick<Options, 'cniConfDir' | 'hostCniDir'>,
): { readonly outcome: 'written' | 'unchanged'; readonly unknownKeys: readonly string[] } {
  const { text, unknownKeys } = makeConflist({
    conflist: host.read(join(options.cniConfDir, '10-terway.conflist')),
    conf: host.read(join(options.cniConfDir, '10-terway.conf')),
    deviceMtu: deviceMtu(host.read),
  })
  const path = join(options.hostCniDir, target)
  if (host.read(path) === text) return { outcome: 'unchanged', unknownKeys }
  try {
    host.writeAtomically(path, text)
  } catch (cause) {
    throw new AppError('conflist-unwritable', 'cannot write the CNI configuration', { cause })
  }
  return { outcome: 'written', unknownKeys }
}

function isPresent(host: Host, path: string): boolean {
  try {
    return host.read(path) !== undefined
  } catch {
    return false
  }
}
