// SPDX-License-Identifier: Apache-2.0
import type { Eni, VSwitch } from '#cloud/port.ts'
import { creatorTag } from '#controller/tags.ts'
import type { Intent, Nic, NicIp, NodeSpec, NodeStatus } from '#kube/crd/node.ts'
import { tryParseIp } from '#net/ip.ts'

/** Edits of Node.status as values: each returns a new status and leaves the old one as it was. */

export function nicsOf(s: NodeStatus): readonly Nic[] {
  return Object.values(s.networkInterfaces ?? {})
}

export function putNic(s: NodeStatus, nic: Nic): NodeStatus {
  return { ...s, networkInterfaces: { ...s.networkInterfaces, [nic.id]: nic } }
}

export function dropNic(s: NodeStatus, id: string): NodeStatus {
  const { [id]: _, ...rest } = s.networkInterfaces ?? {}
  return { ...s, networkInterfaces: rest }
}

/** Unchanged when the ENI is not there. */
export function editNic(s: NodeStatus, id: string, edit: (nic: Nic) => Nic): NodeStatus {
  const nic = s.networkInterfaces?.[id]
  return nic === undefined ? s : putNic(s, edit(nic))
}

/** Applies `edit` to the addresses of both families that `which` selects; undefined drops the address. */
export function editAddresses(nic: Nic, which: (a: NicIp) => boolean, edit: (a: NicIp) => NicIp | undefined): Nic {
  const family = (addresses: Readonly<Record<string, NicIp>> | undefined) =>
    Object.fromEntries(
      Object.entries(addresses ?? {}).flatMap(([ip, a]) => {
        const next = which(a) ? edit(a) : a
        return next === undefined ? [] : [[ip, next]]
      }),
    )
  return {
    ...nic,
    ...(nic.ipv4 === undefined ? {} : { ipv4: family(nic.ipv4) }),
    ...(nic.ipv6 === undefined ? {} : { ipv6: family(nic.ipv6) }),
  }
}

/** Another controller may spell IPv6 addresses differently; here they are compared as texts. What is no address stays as it is. */
export function canonical(s: NodeStatus): NodeStatus {
  return nicsOf(s).reduce((s, nic) => {
    const [ipv4, ipv6] = [respelled(nic.ipv4), respelled(nic.ipv6)]
    if (ipv4 === nic.ipv4 && ipv6 === nic.ipv6) return s
    return putNic(s, { ...nic, ...(ipv4 === undefined ? {} : { ipv4 }), ...(ipv6 === undefined ? {} : { ipv6 }) })
  }, s)
}

function respelled(addresses: Nic['ipv4']): Nic['ipv4'] {
  const others = Object.values(addresses ?? {}).flatMap(a => {
    const ip = tryParseIp(a.ip) ?? a.ip
    return ip === a.ip ? [] : [{ old: a.ip, ip, entry: { ...a, ip } }]
  })
  if (others.length === 0) return addresses
  const old = new Set<string>(others.map(o => o.old))
  const kept = Object.entries(addresses ?? {}).filter(([, a]) => !old.has(a.ip))
  // One that is there in both spellings is what the canonical one says.
  return { ...Object.fromEntries(others.map(o => [o.ip, o.entry])), ...Object.fromEntries(kept) }
}

/** Whether a pod has one of its addresses, as far as it is recorded. */
export function isBound(nic: Nic): boolean {
  return Object.values({ ...nic.ipv4, ...nic.ipv6 }).some(a => a.podUID !== undefined && a.podUID !== '')
}

export function withStatus(a: NicIp, status: NicIp['status'], nonce?: string): NicIp {
  const { releaseNonce: _, ...rest } = a
  return { ...rest, status, ...(nonce === undefined ? {} : { releaseNonce: nonce }) }
}

/** Adds addresses as Valid; one that is already recorded stays as it is. */
export function addAddresses(nic: Nic, ipv4: readonly string[], ipv6: readonly string[], primary?: string): Nic {
  const add = (known: Readonly<Record<string, NicIp>> | undefined, ips: readonly string[]) => ({
    ...Object.fromEntries(ips.map((ip): [string, NicIp] => [ip, { ip, primary: ip === primary, status: 'Valid' }])),
    ...known,
  })
  return { ...nic, ipv4: add(nic.ipv4, ipv4), ...(ipv6.length === 0 && nic.ipv6 === undefined ? {} : { ipv6: add(nic.ipv6, ipv6) }) }
}

export function putIntent(s: NodeStatus, intent: Intent): NodeStatus {
  return { ...s, intents: { ...s.intents, [intent.token]: intent } }
}

export function dropIntent(s: NodeStatus, token: string): NodeStatus {
  const { [token]: _, ...rest } = s.intents ?? {}
  return { ...s, intents: rest }
}

/** Tags that make an ENI untouchable: it stays in the record, but no pod is put on it and nothing on it is given back. */
const builtInBlockList = [
  { key: 'creator', value: 'alibabacloud-erdma-controller' },
  { key: 'terway.alibabacloud.com/excluded', value: 'true' },
]

/** Made by no Terway, and not handed to it by eni_tag_filter: somebody else's. It counts against the instance's slots and is left alone. */
function isForeign(eni: Eni, spec: NodeSpec): boolean {
  const handedOver = Object.keys(spec.eni?.tagFilter ?? {}).length > 0
  return !handedOver && !eni.tags.some(t => t.key === creatorTag.key && t.value === creatorTag.value)
}

/** The record of an ENI as the cloud describes it, with its addresses Valid. `vSwitch` gives the CIDRs that the daemon needs. */
export function nicOf(eni: Eni, vSwitch: VSwitch | undefined, spec: NodeSpec): Nic {
  const blocked = [...builtInBlockList, ...(spec.eni?.tagBlockList ?? [])].some(b =>
    eni.tags.some(t => b.key !== undefined && b.key !== '' && t.key === b.key && t.value === b.value),
  )
  const unschedulable = blocked || isForeign(eni, spec) || (eni.trafficMode === 'HighPerformance' && spec.eni?.enableERDMA !== true)
  const nic: Nic = {
    id: eni.id,
    status: eni.status === 'Creating' ? 'Available' : eni.status,
    macAddress: eni.mac,
    vSwitchID: eni.vSwitchId,
    securityGroupIDs: eni.securityGroupIds,
    primaryIPAddress: eni.primaryIp,
    networkInterfaceTrafficMode: eni.trafficMode,
    networkInterfaceType: eni.type,
    ...(vSwitch === undefined ? {} : { ipv4CIDR: vSwitch.cidr4 }),
    ...(vSwitch?.cidr6 === undefined ? {} : { ipv6CIDR: vSwitch.cidr6 }),
    ...(unschedulable ? { unschedulable: true } : {}),
  }
  return addAddresses(nic, eni.ipv4, eni.ipv6, eni.primaryIp)
}

/** Messages in conditions are cut to what the CRD allows. */
export function withCondition(nic: Nic, type: 'InsufficientIP' | 'OperationErr', message: string | undefined, at: string): Nic {
  const { [type]: present, ...others } = nic.conditions ?? {}
  if (message === undefined) {
    if (present === undefined) return nic
    const { conditions: _, ...bare } = nic
    return Object.keys(others).length === 0 ? bare : { ...nic, conditions: others }
  }
  const cut = message.slice(0, 256)
  if (present?.message === cut) return nic
  return { ...nic, conditions: { ...others, [type]: { observedTime: at, message: cut } } }
}
