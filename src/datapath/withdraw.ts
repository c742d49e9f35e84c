// SPDX-License-Identifier: Apache-2.0
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { addressesOf } from '#datapath/mode/veth-route.ts'
import { ourRule, ruleOperands } from '#datapath/ours.ts'
import { endpointRemoval } from '#datapath/v2/stale.ts'
import { type KernelOp, mainTable } from '#kernel/op.ts'
import type { NsState } from '#kernel/state.ts'
import { hostCidr } from '#net/cidr.ts'

/**
 * What makes a pod's addresses unroutable: its rules and its host routes go, the devices stay for the reaper, since their
 * deletion takes milliseconds. What the programs know goes first (`programs`: the node has them), so that they lead nobody to an
 * address that the host stack does not know. Only rules of our shape for these addresses, and routes over this pod's own host end.
 */
export function withdrawal(a: SharedEniAttachment, host: NsState, programs: boolean): KernelOp[] {
  const ips = addressesOf(a)
  const hostEnd = host.links.find(l => l.name === a.hostIfName)
  const rules = host.rules.flatMap((state): KernelOp[] => {
    const rule = ourRule(state)
    return rule !== undefined && ips.includes(rule.ip) ? [{ op: 'rule-del', ns: 'host', ...ruleOperands(rule) }] : []
  })
  const routes = ips.flatMap((ip): KernelOp[] => {
    const dst = hostCidr(ip)
    return host.routes.some(r => r.dst === dst && r.ifIndex === hostEnd?.index)
      ? [{ op: 'route-del', ns: 'host', dev: a.hostIfName, dst, table: mainTable, scope: 'link' }]
      : []
  })
  return [...(programs ? endpointRemoval(a, host) : []), ...rules, ...routes]
}
