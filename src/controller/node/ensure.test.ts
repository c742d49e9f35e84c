// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { InstanceType } from '#cloud/port.ts'
import { makeThrottle } from '#cloud/throttle.ts'
import { type ControllerDeps, decisions, noObserver } from '#controller/deps.ts'
import { annotateCapacity, ensureNodeCr, finalizer } from '#controller/node/ensure.ts'
import { identityOf } from '#controller/node/identity.ts'
import { capacityOf, InstanceTypes, maxAvailableIp } from '#controller/node/limits.ts'
import { type NodeCr, nodeCrs } from '#kube/crd/node.ts'
import { nodes } from '#kube/reflect/node.ts'
import { realClock } from '#lib/clock.ts'
import { silent } from '#lib/log.ts'
import { KubeModel } from '../../../test/support/kube-model.ts'

const type: InstanceType = {
  id: 'ecs.g7.xlarge',
  eniQuantity: 4,
  eniTotalQuantity: 14,
  ipv4PerEni: 15,
  ipv6PerEni: 15,
  trunkSupported: true,
  eriQuantity: 1,
  bandwidthRx: 10,
  bandwidthTx: 10,
  networkCards: [0],
}

function stage(labels: Readonly<Record<string, string>> = {}) {
  const model = new KubeModel(realClock)
  const node = model.put(nodes, {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: 'n',
      labels: {
        'topology.kubernetes.io/region': 'cn-lab',
        'topology.kubernetes.io/zone': 'cn-lab-a',
        'node.kubernetes.io/instance-type': type.id,
        ...labels,
      },
    },
    spec: { providerID: 'cn-lab.i-1' },
  })
  const cloud = { describeInstanceTypes: () => Promise.resolve([type]) } as unknown as ConstructorParameters<typeof InstanceTypes>[0]
  const deps: ControllerDeps = {
    kube: model.client('cp'),
    cloudFor: () => cloud,
    throttle: makeThrottle(realClock),
    clock: realClock,
    log: silent,
    observer: noObserver,
    decisions,
  }
  const identity = identityOf(node, {})
  assert.ok(identity.served)
  const ensure = (present?: NodeCr) => ensureNodeCr(deps, new InstanceTypes(cloud, realClock), node, identity, present)
  return { model, node, deps, ensure }
}

test('a Node CR is made with everything that Terway and the garbage collector look for', async () => {
  const { model, node, ensure } = stage()
  await ensure()
  const cr = model.read(nodeCrs, 'n')
  assert.deepEqual(cr?.metadata.finalizers, [finalizer])
  assert.deepEqual(cr?.metadata.labels, { name: 'n', 'k8s.aliyun.com/exclusive-mode-eni-type': 'default' })
  const owner = { apiVersion: 'v1', kind: 'Node', name: 'n', uid: node.metadata.uid, controller: true, blockOwnerDeletion: true }
  assert.deepEqual(cr?.metadata.ownerReferences, [owner])
  assert.deepEqual(cr?.spec, {
    nodeMetadata: { regionID: 'cn-lab', zoneID: 'cn-lab-a', instanceType: type.id, instanceID: 'i-1' },
    nodeCap: capacityOf(type),
  })
  const exclusive = stage({ 'k8s.aliyun.com/exclusive-mode-eni-type': 'eniOnly' })
  await exclusive.ensure()
  assert.equal(exclusive.model.read(nodeCrs, 'n')?.metadata.labels?.['k8s.aliyun.com/exclusive-mode-eni-type'], 'eniOnly')
})

test('a Node CR of somebody else gets our finalizer beside its own, and keeps what the daemon wrote', async () => {
  const { model, ensure } = stage()
  const theirs = model.put(nodeCrs, {
    apiVersion: 'network.alibabacloud.com/v1beta1',
    kind: 'Node',
    metadata: { name: 'n', finalizers: ['example.com/other'] },
    spec: { pool: { maxPoolSize: 5 } },
  })
  const made = await ensure(theirs)
  assert.deepEqual(made.metadata.finalizers, ['example.com/other', finalizer])
  assert.deepEqual(made.spec.pool, { maxPoolSize: 5 })
  assert.equal(await ensure(made), made, 'nothing is left to do')
})

test('what an instance type allows, in the fields of Terway', () => {
  assert.deepEqual(capacityOf(type), {
    adapters: 4,
    totalAdapters: 14,
    ipv4PerAdapter: 15,
    ipv6PerAdapter: 15,
    memberAdapterLimit: 10,
    maxMemberAdapterLimit: 12,
    eriQuantity: 1,
    instanceBandwidthRx: 10,
    instanceBandwidthTx: 10,
    networkCards: [{ index: 0 }],
    networkCardsCount: 1,
  })
  const plain = capacityOf({ ...type, trunkSupported: false, eniQuantity: 2, eniTotalQuantity: 2 })
  assert.deepEqual([plain.memberAdapterLimit, plain.maxMemberAdapterLimit, plain.eriQuantity], [0, 0, 0])
  assert.equal(capacityOf({ ...type, eniQuantity: 8, eriQuantity: 4 }).eriQuantity, 2)
})

test('annotation max-available-ip: pods that the shared ENIs can serve, once the daemon has filled its part', async () => {
  const { model, node, deps, ensure } = stage()
  const read = () => model.read(nodes, 'n')?.metadata.annotations?.['k8s.aliyun.com/max-available-ip']
  const cr = await ensure()
  await annotateCapacity(deps, node, cr)
  assert.equal(read(), undefined)
  const eni = { vSwitchOptions: ['v'], securityGroupIDs: ['s'], vSwitchSelectPolicy: 'random' } as const
  const filled = { ...cr, spec: { ...cr.spec, eni } }
  await annotateCapacity(deps, node, filled)
  assert.equal(read(), '45')
  const flavor = [{ networkInterfaceType: 'Secondary', networkInterfaceTrafficMode: 'Standard', count: 2 }] as const
  assert.equal(maxAvailableIp({ ...filled.spec, flavor }), 30)
  const served = (enableIPv4: boolean) =>
    maxAvailableIp({
      ...filled.spec,
      eni: { ...eni, enableIPv4, enableIPv6: true },
      nodeCap: { adapters: 3, ipv4PerAdapter: 3, ipv6PerAdapter: 7 },
    })
  assert.deepEqual([served(true), served(false)], [6, 14], 'pairs in dual stack')
})
