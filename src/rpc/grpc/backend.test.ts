// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backendHandlers } from '#rpc/grpc/backend.ts'
import { exampleNetwork, FakeLeases } from '#rpc/grpc/fake.ts'
import { IPType } from '#rpc/grpc/messages.ts'

const pod = { K8sPodName: 'web-0', K8sPodNamespace: 'default', K8sPodInfraContainerId: 'c0' }

/** The types of AllocIP's and GetIPInfo's answers. */
async function types(exclusive: boolean): Promise<readonly unknown[]> {
  const leases = Object.assign(new FakeLeases(), {
    alloc: async () => ({ ...exampleNetwork, exclusive }),
    info: async () => ({ ...exampleNetwork, exclusive }),
  })
  const { AllocIP, GetIPInfo } = backendHandlers(leases)
  const answers = [await AllocIP({ ...pod, Netns: '/run/netns/a', IfName: 'eth0' }), await GetIPInfo(pod)]
  return answers.map(answer => answer.IPType)
}

test('a plugin is told whether it is to move an ENI into the pod', async () => {
  assert.deepEqual(await types(true), [IPType.TypeVPCENI, IPType.TypeVPCENI])
  assert.deepEqual(await types(false), [IPType.TypeENIMultiIP, IPType.TypeENIMultiIP])
})
