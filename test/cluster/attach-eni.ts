// SPDX-License-Identifier: Apache-2.0
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import ecs from '@alicloud/ecs20140526'
import openapi from '@alicloud/openapi-core'

/*
 * Creates an ENI with chosen addresses and attaches it, with the vendor's SDK as it is. Run inside the VPC; takes a Wish on
 * stdin, prints {id, mac} when the ENI is in use.
 */
export interface Wish {
  readonly accessKeyId: string
  readonly accessKeySecret: string
  readonly endpoint: string
  readonly regionId: string
  readonly vSwitchId: string
  readonly securityGroupId: string
  readonly instanceId: string
  readonly primaryIpAddress: string
  readonly secondary: readonly string[]
}

if (import.meta.main) {
  const wish: Wish = JSON.parse(await text(process.stdin))
  const { accessKeyId, accessKeySecret, endpoint, regionId, instanceId } = wish
  const client = new ecs.default(new openapi.$OpenApiUtil.Config({ accessKeyId, accessKeySecret, endpoint, regionId, protocol: 'http' }))
  const created = await client.createNetworkInterface(
    new ecs.CreateNetworkInterfaceRequest({
      regionId,
      vSwitchId: wish.vSwitchId,
      securityGroupIds: [wish.securityGroupId],
      primaryIpAddress: wish.primaryIpAddress,
      privateIpAddress: [...wish.secondary],
    }),
  )
  const id = created.body?.networkInterfaceId ?? ''
  const describe = async () => {
    const { body } = await client.describeNetworkInterfaces(
      new ecs.DescribeNetworkInterfacesRequest({ regionId, networkInterfaceId: [id] }),
    )
    return body?.networkInterfaceSets?.networkInterfaceSet?.[0]
  }
  const reaches = async (status: string) => {
    const deadline = Date.now() + 120_000
    for (let eni = await describe(); ; eni = await describe()) {
      if (eni?.status === status) return eni
      if (Date.now() > deadline) throw new Error(`ENI ${id} is ${eni?.status}, not ${status}`)
      await sleep(100)
    }
  }
  await reaches('Available')
  await client.attachNetworkInterface(new ecs.AttachNetworkInterfaceRequest({ regionId, networkInterfaceId: id, instanceId }))
  const eni = await reaches('InUse')
  process.stdout.write(JSON.stringify({ id, mac: eni.macAddress }))
}
