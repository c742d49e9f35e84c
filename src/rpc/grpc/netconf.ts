// SPDX-License-Identifier: Apache-2.0
import type { IPSet, NetConf } from '#rpc/grpc/messages.ts'
import type { SandboxInterface, SandboxNetwork } from '#rpc/grpc/port.ts'

/** A sandbox's network in Terway's wire form, one NetConf per interface. */
export function toNetConfs(n: SandboxNetwork): NetConf[] {
  return n.interfaces.map(i => ({
    BasicInfo: {
      PodIP: ipSet(i.v4?.address, i.v6?.address),
      PodCIDR: ipSet(i.v4?.subnet, i.v6?.subnet),
      GatewayIP: ipSet(i.v4?.gateway, i.v6?.gateway),
      ServiceCIDR: ipSet(n.serviceCidr4, n.serviceCidr6),
    },
    ENIInfo: { MAC: i.eni.mac, Trunk: false, GatewayIP: ipSet(i.eni.gateway4, i.eni.gateway6) },
    Pod: podOf(i, n.networkPriority),
    IfName: i.ifName,
    ExtraRoutes: i.extraRoutes.map(dst => ({ Dst: dst })),
    DefaultRoute: i.defaultRoute,
  }))
}

/** Which families any interface of the sandbox has. */
export function families(n: SandboxNetwork): { readonly IPv4: boolean; readonly IPv6: boolean } {
  return { IPv4: n.interfaces.some(i => i.v4 !== undefined), IPv6: n.interfaces.some(i => i.v6 !== undefined) }
}

function podOf(i: SandboxInterface, priority: string | undefined): NetConf['Pod'] {
  return { Ingress: i.ingressBytesPerSecond ?? 0, Egress: i.egressBytesPerSecond ?? 0, NetworkPriority: priority ?? '' }
}

function ipSet(v4: string | undefined, v6: string | undefined): IPSet {
  return { IPv4: v4 ?? '', IPv6: v6 ?? '' }
}
