// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exampleNetwork } from '#rpc/grpc/fake.ts'
import { families, toNetConfs } from '#rpc/grpc/netconf.ts'

test('a pod of IPv6 alone: every IPv4 field is empty, none is missing', () => {
  const { serviceCidr4: _, ...rest } = exampleNetwork
  const interfaces = exampleNetwork.interfaces.map(({ v4: _, eni, ...i }) => ({
    ...i,
    eni: { eniId: eni.eniId, mac: eni.mac, gateway6: '2001:db8::ffff:ffff:ffff:fffd' },
  }))
  const network = { ...rest, interfaces, serviceCidr6: 'fd00:9::/108' }
  const [conf] = toNetConfs(network)
  const gateway = { IPv4: '', IPv6: '2001:db8::ffff:ffff:ffff:fffd' }
  assert.deepEqual(conf?.BasicInfo, {
    PodIP: { IPv4: '', IPv6: '2001:db8::17' },
    PodCIDR: { IPv4: '', IPv6: '2001:db8::/64' },
    GatewayIP: gateway,
    ServiceCIDR: { IPv4: '', IPv6: 'fd00:9::/108' },
  })
  assert.deepEqual(conf?.ENIInfo?.GatewayIP, gateway)
  assert.deepEqual(families(network), { IPv4: false, IPv6: true })
})
