// SPDX-License-Identifier: Apache-2.0
import type { Action } from './action.ts'
import { assignIpv6Addresses } from './assign-ipv6-addresses.ts'
import { assignPrivateIpAddresses } from './assign-private-ip-addresses.ts'
import { attachNetworkInterface } from './attach-network-interface.ts'
import { createNetworkInterface } from './create-network-interface.ts'
import { deleteNetworkInterface } from './delete-network-interface.ts'
import { describeInstanceTypes } from './describe-instance-types.ts'
import { describeInstances } from './describe-instances.ts'
import { describeNetworkInterfaceAttribute } from './describe-network-interface-attribute.ts'
import { describeNetworkInterfaces } from './describe-network-interfaces.ts'
import { describeSecurityGroupAttribute } from './describe-security-group-attribute.ts'
import { describeSecurityGroups } from './describe-security-groups.ts'
import { describeVpcs } from './describe-vpcs.ts'
import { describeVSwitches } from './describe-vswitches.ts'
import { detachNetworkInterface } from './detach-network-interface.ts'
import { listTagResources } from './list-tag-resources.ts'
import { tagResources } from './tag-resources.ts'
import { unassignIpv6Addresses } from './unassign-ipv6-addresses.ts'
import { unassignPrivateIpAddresses } from './unassign-private-ip-addresses.ts'
import { untagResources } from './untag-resources.ts'

/** Every operation that the simulated cloud knows, by name. */
export const actions: ReadonlyMap<string, Action> = new Map(
  [
    assignIpv6Addresses,
    assignPrivateIpAddresses,
    attachNetworkInterface,
    createNetworkInterface,
    deleteNetworkInterface,
    describeInstances,
    describeInstanceTypes,
    describeNetworkInterfaceAttribute,
    describeNetworkInterfaces,
    describeSecurityGroupAttribute,
    describeSecurityGroups,
    describeVpcs,
    describeVSwitches,
    detachNetworkInterface,
    listTagResources,
    tagResources,
    unassignIpv6Addresses,
    unassignPrivateIpAddresses,
    untagResources,
  ].map(action => [action.name, action]),
)
