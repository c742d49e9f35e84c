// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { capabilitiesPath } from '#config/capabilities.ts'
import { eniModeLabel, nodeCrs } from '#kube/crd/node.ts'
import { nodes } from '#kube/reflect/node.ts'
import { DaemonWorld } from '../../test/support/daemon-world.ts'
import { nodeName } from '../../test/support/node-world.ts'
import { until } from '../../test/support/until.ts'

test('a machine that takes the name of another of the other kind does not take its kind', async () => {
  await using world = new DaemonWorld(['10.0.0.1'])
  world.model.remove(nodes, nodeName)
  const daemon = await world.start()
  const mode = () => daemon.state.trace()['ENI mode']
  await until(() => mode() === 'the Kubernetes node has not been seen')
  const spec = { providerID: 'r.i-2' }
  world.model.put(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: nodeName, labels: { [eniModeLabel]: 'eniOnly' } }, spec })
  assert.doesNotMatch(world.files.get(capabilitiesPath) ?? '', /cni_exclusive_eni/)
  const { metadata, ...former } = world.cluster.node()
  world.model.put(nodeCrs, {
    ...former,
    metadata: { ...metadata, labels: { [eniModeLabel]: 'eniOnly' } },
    spec: { ...former.spec, nodeMetadata: { regionID: 'r', instanceType: 't', instanceID: 'i-2', zoneID: 'zone-a' } },
  })
  await daemon.ready
  assert.equal(mode(), 'exclusive')
})
