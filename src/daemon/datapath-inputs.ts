// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { type Capabilities, parseCapabilities } from '#config/capabilities.ts'
import { type Conflist, readConflist } from '#config/conflist.ts'
import { type ChoiceInputs, datapathLabel } from '#config/datapath-choice.ts'
import { deviceMtu } from '#config/device-mtu.ts'
import type { Cluster } from '#daemon/cluster.ts'
import type { Host, Options } from '#daemon/deps.ts'
import type { KnownMode } from '#daemon/pod.ts'
import type { Node } from '#kube/reflect/node.ts'
import { isAppError, messageOf } from '#lib/errors.ts'
import { type Ip, tryParseIp } from '#net/ip.ts'
import { nodeFacts } from '#state/node-facts.ts'

/** In both directories: the one that is mounted, and the runtime's. */
export const conflistName = '10-terway.conflist'
const ciliumConfig = '/var/run/cilium/state/globals/node_config.h'
const ciliumLink = '/sys/class/net/cilium_net/ifindex'

/** The mounted CNI configuration. Throws `bad-config`. */
export function mountedConflist(host: Host, { cniConfDir }: Pick<Options, 'cniConfDir'>): Conflist {
  return readConflist({
    conflist: host.read(join(cniConfDir, conflistName)),
    conf: host.read(join(cniConfDir, '10-terway.conf')),
    deviceMtu: deviceMtu(host.read),
  })
}

/** The list that the runtime has: of the last configuration that was good. Throws `bad-config`. */
export function installedConflist(host: Host, { hostCniDir }: Pick<Options, 'hostCniDir'>): Conflist {
  return readConflist({ conflist: host.read(join(hostCniDir, conflistName)), conf: undefined, deviceMtu: deviceMtu(host.read) })
}

/** Of the node, and the first one of each network that its pods are in. */
export function ownAddresses({ k8sNode, node }: Pick<Cluster, 'k8sNode' | 'node'>): readonly Ip[] {
  const networks = Object.values(node?.status?.networkInterfaces ?? {}).flatMap(n => [n.ipv4CIDR, n.ipv6CIDR])
  return [...(k8sNode ? nodeFacts(k8sNode).addresses : []), ...networks.flatMap(c => tryParseIp(c?.split('/')[0] ?? '') ?? [])]
}

/** What the choice of the datapath depends on, of the node and of the files on it. */
export function choiceInputs(
  host: Host,
  options: Options,
  node: Node | undefined,
  list: Conflist,
  capabilities: Capabilities,
  mode: KnownMode,
): ChoiceInputs {
  return {
    ...(mode !== 'unknown' && { eniMode: mode }),
    switched: host.read(options.switchPath),
    label: node?.metadata.labels?.[datapathLabel],
    virtualType: list.settings.virtualType,
    policyProvider: list.settings.policyProvider,
    disableNetworkPolicy: host.read(join(options.cniConfDir, 'disable_network_policy'))?.trim(),
    capabilities,
    ciliumNet: host.read(ciliumLink) !== undefined,
    ciliumConfig: host.read(ciliumConfig),
  }
}

/** The capability file: its text, and what it says. One that cannot be understood counts as absent, and `wrong` says what is wrong. */
export function readCapabilities(
  host: Host,
  path: string,
): { readonly text: string; readonly capabilities: Capabilities; readonly wrong?: string } {
  const text = host.read(path) ?? ''
  try {
    return { text, capabilities: parseCapabilities(text) }
  } catch (e) {
    if (!isAppError(e)) throw e
    return { text: '', capabilities: new Map(), wrong: `${path}: ${messageOf(e)}; it is written anew` }
  }
}
