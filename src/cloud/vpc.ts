// SPDX-License-Identifier: Apache-2.0
import type { Cloud } from '#cloud/port.ts'
import { replyOf } from '#cloud/reply.ts'
import type { Rpc } from '#cloud/transport.ts'
import { parseCidr } from '#net/cidr.ts'

/** VPC 2016-04-28. */
export function makeVpc(rpc: Rpc): Pick<Cloud, 'describeVSwitch'> {
  return {
    async describeVSwitch(id) {
      const reply = replyOf('DescribeVSwitches', await rpc('DescribeVSwitches', { VSwitchId: id }))
      const found = reply.records('VSwitches', 'VSwitch').find(v => v.text('VSwitchId') === id)
      if (found === undefined) return undefined
      const cidr6 = found.optional('Ipv6CidrBlock')
      return {
        id,
        zoneId: found.text('ZoneId'),
        cidr4: parseCidr(found.text('CidrBlock')),
        availableIpCount: found.number('AvailableIpAddressCount'),
        ...(cidr6 === undefined ? {} : { cidr6: parseCidr(cidr6) }),
      }
    },
  }
}
