// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { offerEnis } from '#controller/node/capacity.ts'
import { eniModeLabel, type NodeCr } from '#kube/crd/node.ts'
import { type Node, nodes } from '#kube/reflect/node.ts'
import { realClock } from '#lib/clock.ts'
import { KubeModel } from '../../../test/support/kube-model.ts'

const eni = { vSwitchOptions: ['v'], securityGroupIDs: ['s'], vSwitchSelectPolicy: 'random' } as const
const cr = (label: string, spec: Partial<NodeCr['spec']> = {}): NodeCr => ({
  apiVersion: 'network.alibabacloud.com/v1beta1',
  kind: 'Node',
  metadata: { name: 'n', labels: { [eniModeLabel]: label } },
  spec: { nodeCap: { adapters: 4, ipv4PerAdapter: 15, ipv6PerAdapter: 0 }, eni, ...spec },
})

function stage() {
  const model = new KubeModel(realClock)
  const status = { capacity: { cpu: '2' }, allocatable: { cpu: '1900m' } }
  model.put(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n' }, spec: {}, status })
  let writes = 0
  const port = model.client('cp')
  const kube: typeof port = Object.assign(Object.create(port), {
    patch: (...args: Parameters<typeof port.patch>) => {
      writes += 1
      return port.patch(...args)
    },
  })
  const read = (): Node => model.read(nodes, 'n') ?? assert.fail('no node')
  return { model, read, offer: (node: NodeCr) => offerEnis({ kube }, read(), node), writes: () => writes }
}

test('a node whose pods have an ENI each offers its ENIs besides the primary one, and says so again when the kubelet forgot it', async () => {
  const { model, read, offer, writes } = stage()
  await offer(cr('eniOnly'))
  await offer(cr('eniOnly'))
  assert.deepEqual(read().status?.capacity, { cpu: '2', 'aliyun/eni': '3' })
  assert.deepEqual(read().status?.allocatable, { cpu: '1900m', 'aliyun/eni': '3' })
  assert.equal(writes(), 1)
  // A kubelet that starts anew zeroes what no device plugin offers, in the capacity first.
  const node = read()
  model.put(nodes, { ...node, status: { ...node.status, capacity: { cpu: '2', 'aliyun/eni': '0' } } })
  await offer(cr('eniOnly'))
  assert.deepEqual([read().status?.capacity?.['aliyun/eni'], writes()], ['3', 2])
})

test('nothing is offered where pods share ENIs, before the daemon has filled its part, or where a family is missing', async () => {
  const { read, offer } = stage()
  const { eni: _, ...bare } = cr('eniOnly').spec
  await offer(cr('default'))
  await offer({ ...cr('eniOnly'), spec: bare })
  assert.deepEqual(read().status?.capacity, { cpu: '2' })
  await offer(cr('eniOnly', { eni: { ...eni, enableIPv6: true } }))
  assert.equal(read().status?.capacity?.['aliyun/eni'], '0', 'a pair needs both')
})
