// SPDX-License-Identifier: Apache-2.0
import type { Eni } from './rows.ts'
import type { State } from './state.ts'
import { limitsOf } from './types.ts'
import type { EniView, FabricView } from './view.ts'

/** What the fabric must make real: the present state, without lag. */
export function fabricView(state: State): FabricView {
  const bySeq = (a: { readonly seq: number }, b: { readonly seq: number }) => a.seq - b.seq
  return {
    vSwitches: state.list('vSwitch').map(({ id, zoneId, cidr4, cidr6 }) => ({ id, zoneId, cidr4, ...(cidr6 !== undefined && { cidr6 }) })),
    instances: state
      .list('instance')
      .sort(bySeq)
      .map(({ id, status }) => ({ id, running: status === 'Running' })),
    enis: state
      .list('eni')
      .sort(bySeq)
      .map(eni => eniView(state, eni)),
    securityGroups: state.list('securityGroup').map(({ id, intraGroup, rules }) => ({ id, intraGroup, rules })),
    eips: state.list('vpc').flatMap(vpc => vpc.eips),
    balancers: state
      .list('balancer')
      .sort(bySeq)
      .map(({ id, private4, public4, ipv6, listeners }) => ({ id, addresses: [...private4, ...public4, ...ipv6], listeners })),
  }
}

function eniView(state: State, eni: Eni): EniView {
  const inUse = eni.status === 'InUse' ? eni.attachment : undefined
  return {
    id: eni.id,
    mac: eni.mac,
    vSwitchId: eni.vSwitchId,
    type: eni.type,
    ...(inUse !== undefined && { instanceId: inUse.instanceId }),
    ...(inUse?.trunkEniId !== undefined && { trunkEniId: inUse.trunkEniId }),
    ...(inUse?.deviceIndex !== undefined && { vlan: inUse.deviceIndex }),
    ipv4: eni.ipv4,
    ipv6: eni.ipv6,
    prefixes: eni.prefixes,
    securityGroupIds: eni.securityGroupIds,
    sourceDestCheck: eni.sourceDestCheck,
    mtu: mtuOf(state, eni),
  }
}

function mtuOf(state: State, eni: Eni): number {
  const instance = eni.attachment && state.get('instance', eni.attachment.instanceId)
  return (instance && limitsOf(state, instance).mtu) ?? state.get('vpc', eni.vpcId)?.mtu ?? 1500
}
