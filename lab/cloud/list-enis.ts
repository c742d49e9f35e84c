// SPDX-License-Identifier: Apache-2.0
import { text } from 'node:stream/consumers'
import ecs from '@alicloud/ecs20140526'
import openapi from '@alicloud/openapi-core'
import type { CloudAccess, CloudEni } from './enis.ts'

/*
 * Lists every ENI of the VPC with the vendor's SDK, unchanged: what is compared with is neither our client nor our
 * resources. Run inside a namespace of the VPC; takes a CloudAccess on stdin, prints CloudEni[].
 */
const access: CloudAccess = JSON.parse(await text(process.stdin))
// A CommonJS package: the import is its whole `exports`, whose `default` is the client.
const client = new ecs.default(
  new openapi.$OpenApiUtil.Config({
    accessKeyId: access.accessKeyId,
    accessKeySecret: access.accessKeySecret,
    endpoint: access.endpoint,
    regionId: access.regionId,
    protocol: 'http',
  }),
)

const enis: CloudEni[] = []
let nextToken: string | undefined
do {
  const request = new ecs.DescribeNetworkInterfacesRequest({
    regionId: access.regionId,
    vpcId: access.vpcId,
    maxResults: 500,
    ...(nextToken && { nextToken }),
  })
  const { body } = await client.describeNetworkInterfaces(request)
  for (const e of body?.networkInterfaceSets?.networkInterfaceSet ?? []) {
    enis.push({
      id: e.networkInterfaceId ?? '',
      mac: e.macAddress ?? '',
      type: e.type ?? '',
      status: e.status ?? '',
      vSwitchId: e.vSwitchId ?? '',
      instanceId: e.instanceId ?? '',
      ipv4: (e.privateIpSets?.privateIpSet ?? []).map(p => p.privateIpAddress ?? ''),
      ipv6: (e.ipv6Sets?.ipv6Set ?? []).map(p => p.ipv6Address ?? ''),
      tags: Object.fromEntries((e.tags?.tag ?? []).map(t => [t.tagKey ?? '', t.tagValue ?? ''])),
    })
  }
  nextToken = body?.nextToken
} while (nextToken)
process.stdout.write(JSON.stringify(enis))
