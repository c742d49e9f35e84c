// SPDX-License-Identifier: Apache-2.0
import type { Capabilities } from '#config/capabilities.ts'
import type { Conflist } from '#config/conflist.ts'
import { chooseDatapath } from '#config/datapath-choice.ts'
import { parseSwitch } from '#config/datapath-switch.ts'
import type { EniConf } from '#config/eni-conf.ts'
import { defaultNatPorts, replacesKubeProxy, type ServiceAlgorithm } from '#config/kube-proxy.ts'
import { mistakeIn, unnamedFamilies } from '#config/service-cidr.ts'
import { Complaint } from '#daemon/complaint.ts'
import type { Context } from '#daemon/context.ts'
import { choiceInputs, installedConflist, mountedConflist, ownAddresses, readCapabilities } from '#daemon/datapath-inputs.ts'
import type { DatapathGoal } from '#daemon/datapath-memory.ts'
import { flowEntriesFor } from '#daemon/flow-entries.ts'
import { AppError } from '#lib/errors.ts'
import type { Family } from '#net/ip.ts'

/** What the node is to be, before anybody asked the kernel. */
export interface Wanted {
  readonly goal: DatapathGoal
  /** Text of the file that a person's wish is in. */
  readonly switched: string
  /** Families of pods of which no network of Services is known. */
  readonly unnamed: readonly Family[]
  /** Why a network of Services that was named is not taken for one. */
  readonly mistakes: readonly string[]
  /** What the capability file says besides; undefined while nothing can be chosen. */
  readonly settings?: ChosenUnder
}

export interface ChosenUnder {
  readonly policyProvider: string
  readonly ipv6: boolean
  readonly serviceAlgorithm: ServiceAlgorithm
}

/** What is asked for: by a person on the node, its label or the configuration. What cannot be taken is told, and the last goal stays. */
export class DatapathWish {
  readonly #ctx: Context
  readonly #complaint: Complaint

  constructor(ctx: Context) {
    this.#ctx = ctx
    this.#complaint = new Complaint(ctx, 'choice of the datapath')
  }

  /** Undefined while nothing can be chosen and there is no last goal. */
  read(last: DatapathGoal | undefined): Wanted | undefined {
    const { host, options } = this.#ctx
    const switched = host.read(options.switchPath)?.trim() ?? ''
    const asksOff = parseSwitch(switched)?.off ?? last?.off ?? false
    const wanted = this.#choose(last) ?? (last && { goal: last, unnamed: [], mistakes: [] })
    if (wanted === undefined) return undefined
    return { ...wanted, goal: { ...wanted.goal, off: asksOff && wanted.goal.kind === 'v2' }, switched }
  }

  #choose(last: DatapathGoal | undefined): Omit<Wanted, 'switched'> | undefined {
    const { host, options, cluster, facts } = this.#ctx
    const { conf } = facts
    const list = this.#list()
    if (conf === undefined || list === undefined) return undefined
    const { capabilities } = readCapabilities(host, options.capabilitiesPath)
    const choice = chooseDatapath(choiceInputs(host, options, cluster.k8sNode, list, capabilities, facts.eniMode))
    if ('refused' in choice) {
      const instead = last === undefined ? 'and there is no earlier one' : 'the last one stays'
      this.#complaint.tell(new AppError('bad-config', choice.refused), instead)
      return undefined
    }
    this.#complaint.settled()
    const { hostStackCidrs, policyProvider } = list.settings
    const named = [conf.serviceCidr4, conf.serviceCidr6].filter(c => c !== undefined)
    const own = ownAddresses(cluster)
    // Packets to an address of Services that no Service has are dropped: those to pods would be.
    const serviceCidrs = named.filter(c => mistakeIn(c, own) === undefined)
    return {
      goal: {
        kind: choice.datapath,
        by: choice.by,
        why: choice.why,
        off: false,
        hostStackCidrs,
        serviceCidrs,
        ...this.#more(conf, capabilities),
      },
      unnamed: unnamedFamilies(conf, conf.ipStack),
      mistakes: named.flatMap(c => mistakeIn(c, own) ?? []),
      settings: { policyProvider, ipv6: conf.ipStack !== 'ipv4', serviceAlgorithm: conf.serviceAlgorithm ?? 'random' },
    }
  }

  /** Absent keys are those of a node on which kube-proxy translates, or whose memory is not known. */
  #more(conf: EniConf, capabilities: Capabilities): Pick<DatapathGoal, 'services' | 'flowEntries' | 'flowLimit'> {
    const { host, options, facts } = this.#ctx
    const replaces = replacesKubeProxy(conf, capabilities, options.kubeProxyReplacement, facts.eniMode === 'exclusive')
    const { first, last } = conf.natPorts ?? defaultNatPorts
    const memory = host.memory?.()
    const flowEntries = conf.conntrackEntries ?? (memory && flowEntriesFor(memory))
    return {
      ...(replaces && { services: { natPortFirst: first, natPortLast: last } }),
      ...(flowEntries !== undefined && { flowEntries }),
      ...(conf.conntrackEntriesPerPod !== undefined && { flowLimit: conf.conntrackEntriesPerPod }),
    }
  }

  /** One that is refused is told by whoever writes the runtime's list. */
  #list(): Conflist | undefined {
    const { host, options, facts } = this.#ctx
    const list = unlessRefused(() => mountedConflist(host, options))
    facts.plugin = list?.settings ?? facts.plugin ?? unlessRefused(() => installedConflist(host, options))?.settings
    return list
  }
}

function unlessRefused<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
