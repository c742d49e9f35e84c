// SPDX-License-Identifier: Apache-2.0
import { type Capabilities, capabilitiesPath } from '#config/capabilities.ts'
import { type EniMode, eniModeLabel } from '#kube/crd/node.ts'

/** Terway's capability; its values are those of the Node CR's label. */
const capability = 'cni_exclusive_eni'
const words: Readonly<Record<EniMode, string>> = { shared: 'default', exclusive: 'eniOnly' }

/** Where a node's mode is said. */
export interface ModeSources {
  /** The Node CR, in which it never changes. */
  readonly record: EniMode
  /** The Kubernetes node; undefined while it has not been seen. */
  readonly label: EniMode | undefined
  /** What the node decided in this boot. */
  readonly stored: EniMode | undefined
}

/** Undefined on a node that has not decided in this boot. */
export function storedMode(capabilities: Capabilities): EniMode | undefined {
  const value = capabilities.get(capability)?.toLowerCase()
  if (value === undefined) return undefined
  return value === words.exclusive.toLowerCase() ? 'exclusive' : 'shared'
}

export function modeCapability(mode: EniMode): Readonly<Record<string, string>> {
  return { [capability]: words[mode] }
}

/** Why a node may not have the mode of its record, with the way out; undefined when all agree. Pods and ENIs of one mode are of no use in the other. */
export function modeConflict({ record, label, stored }: ModeSources): string | undefined {
  if (stored !== undefined && stored !== record) {
    const now = `${capabilitiesPath} has ${capability} = ${words[stored]}, but the Node CR says ${words[record]}`
    return `${now}: a node keeps its mode until a reboot; drain and reboot it`
  }
  if (label === undefined || label === record) return undefined
  const asked = label === 'exclusive' ? `${eniModeLabel}=${words.exclusive} was set` : `${eniModeLabel}=${words.exclusive} was taken away`
  const back = label === 'exclusive' ? 'take it away again' : 'set it again'
  return `the node's label ${asked} after the node had joined: ${back}, or drain the node, delete it from the cluster and reboot it, so that it joins anew`
}
