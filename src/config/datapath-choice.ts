// SPDX-License-Identifier: Apache-2.0
import type { Capabilities } from '#config/capabilities.ts'
import { type DatapathKind, parseSwitch, switchPath } from '#config/datapath-switch.ts'
import type { EniMode } from '#kube/crd/node.ts'

/** Label of the Kubernetes node that says how it forwards: `veth` or `datapathv2`. */
export const datapathLabel = 'k8s.aliyun.com/datapath'

/** Everything that the choice depends on, as it was found. */
export interface ChoiceInputs {
  /** Absent = shared. */
  readonly eniMode?: EniMode
  /** Text of the file that `terway-cli datapath` writes; undefined without one. */
  readonly switched: string | undefined
  /** Value of the node's label. */
  readonly label: string | undefined
  /** Of the terway plugin in the mounted CNI configuration. */
  readonly virtualType: string
  readonly policyProvider: string
  /** Of the ConfigMap eni-config. */
  readonly disableNetworkPolicy: string | undefined
  readonly capabilities: Capabilities
  /** Whether the node has the link cilium_net. */
  readonly ciliumNet: boolean
  /** Text of Cilium's node_config.h; undefined without one. */
  readonly ciliumConfig: string | undefined
}

/** Who decided; `mode` on a node whose pods have ENIs of their own, `probe` when the kernel or the cluster lacks something for what was asked. */
export type ChosenBy = 'mode' | 'switch' | 'label' | 'table' | 'probe'

export interface Choice {
  readonly datapath: DatapathKind
  readonly by: ChosenBy
  /** For people. */
  readonly why: string
}

/** What was written and cannot be taken, by its name. */
export interface Refusal {
  readonly refused: string
}

/** Terway's name of a kind, as in `eniip_virtual_type`, the label, the capability file and the Node CR. */
export function terwayName(kind: DatapathKind): 'veth' | 'datapathv2' {
  return kind === 'v2' ? 'datapathv2' : 'veth'
}

/**
 * How the node forwards, by the first that speaks: a person on the node (`terway-cli datapath switch`), the node's label, the table by which Terway
 * generates its CNI configuration. The same inputs give the same kind as there; cilium-cni is never needed. Whether it is off is another question.
 */
export function chooseDatapath(i: ChoiceInputs): Choice | Refusal {
  const asked = bySwitch(i.switched) ?? byLabel(i.label) ?? byTable(i)
  return i.eniMode === 'exclusive' ? byMode(asked) : asked
}

/** No packet of such a pod comes by the node, so that there is nothing to forward. */
function byMode(asked: Choice | Refusal): Choice | Refusal {
  if ('refused' in asked) return asked
  const own = 'each pod of this node has an ENI itself'
  return {
    datapath: 'veth',
    by: 'mode',
    why: asked.datapath === 'v2' ? `${own}, past the node, with no need of DataPath V2 (${asked.why})` : own,
  }
}

function bySwitch(text: string | undefined): Choice | Refusal | undefined {
  const said = parseSwitch(text)
  if (said === undefined) return { refused: `${switchPath} has ${JSON.stringify(text)}; supported: v2, veth, and off beside them` }
  return said.kind && { datapath: said.kind, by: 'switch', why: `terway-cli datapath switch ${said.kind}` }
}

function byLabel(label: string | undefined): Choice | Refusal | undefined {
  const value = label?.toLowerCase() ?? ''
  if (value === '') return undefined
  const why = `node label ${datapathLabel} is ${value}`
  if (value === 'veth') return { datapath: 'veth', by: 'label', why }
  if (value === 'datapathv2') return { datapath: 'v2', by: 'label', why }
  return { refused: `node label ${datapathLabel} is ${JSON.stringify(label)}; supported: veth, datapathv2` }
}

function byTable(i: ChoiceInputs): Choice | Refusal {
  const chosen = (datapath: DatapathKind, why: string): Choice => ({ datapath, by: 'table', why })
  const type = i.virtualType.toLowerCase()
  if (type === 'datapathv2') return chosen('v2', 'eniip_virtual_type is datapathv2')
  if (type === 'ipvlan') {
    if (earlier(i.capabilities, 'datapath') === 'datapathv2')
      return chosen('v2', 'eniip_virtual_type is ipvlan, and the node had datapathv2')
    if (!i.ciliumNet) return chosen('v2', 'eniip_virtual_type is ipvlan, which datapathv2 replaces')
    return { refused: 'eniip_virtual_type is "ipvlan", and the node has the link cilium_net: ipvlan is not supported; set datapathv2' }
  }
  if (type !== '' && type !== 'veth')
    return { refused: `eniip_virtual_type is ${JSON.stringify(i.virtualType)}; supported: "", veth, ipvlan, datapathv2` }
  const asked = `eniip_virtual_type is ${type === '' ? 'not set' : type}`
  if (i.policyProvider.toLowerCase() !== 'ebpf') return chosen('veth', `${asked}, network_policy_provider is not ebpf`)
  const allowed = allowEbpf(i)
  if (!allowed.yes) return chosen('veth', `${asked}, ${allowed.why}`)
  if (i.ciliumConfig !== undefined && !i.ciliumConfig.includes('ENABLE_HOST_ROUTING'))
    return chosen('veth', `${asked}, Cilium's node_config.h has no ENABLE_HOST_ROUTING`)
  return chosen('v2', `${asked}, network_policy_provider is ebpf, ${allowed.why}`)
}

function allowEbpf(i: ChoiceInputs): { readonly yes: boolean; readonly why: string } {
  const chainer = earlier(i.capabilities, 'has_cilium_chainer')
  if (chainer === 'true' || chainer === 'false')
    return { yes: chainer === 'true', why: `the node's capability has_cilium_chainer is ${chainer}` }
  if (i.ciliumNet) return { yes: true, why: 'the node has the link cilium_net' }
  const enabled = ['', 'false', '0'].includes(i.disableNetworkPolicy ?? '')
  return { yes: enabled, why: enabled ? 'network policy is enabled' : 'disable_network_policy is set' }
}

/** What an earlier decision by the table left. Any other is no precedent: it ends with its cause. */
function earlier(capabilities: Capabilities, key: string): string | undefined {
  return (capabilities.get('datapath_by') ?? 'table') === 'table' ? capabilities.get(key) : undefined
}

/** What the node's capability file says of the choice. `has_cilium_chainer` makes Terway's own generator decide the same. */
export function capabilitiesOf(choice: Choice, policyProvider: string, ipv6: boolean): Readonly<Record<string, string>> {
  return {
    datapath: terwayName(choice.datapath),
    datapath_by: choice.by,
    network_policy_provider: policyProvider,
    has_cilium_chainer: String(choice.datapath === 'v2'),
    cni_ipv6_stack: String(ipv6),
  }
}
