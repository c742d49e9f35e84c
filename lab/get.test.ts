// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pathOf } from './get.ts'

test('what kubectl get would ask for', () => {
  assert.equal(pathOf(['pod', 'a']), '/api/v1/namespaces/default/pods/a')
  assert.equal(pathOf(['pods', '--all-namespaces', '-l', 'app=web']), '/api/v1/pods?labelSelector=app%3Dweb')
  assert.equal(pathOf(['-n', 'kube-system', 'configmap', 'eni-config']), '/api/v1/namespaces/kube-system/configmaps/eni-config')
  assert.equal(pathOf(['events', '--all-namespaces', '--field-selector', 'a=b']), '/api/v1/events?fieldSelector=a%3Db')
  assert.equal(pathOf(['nodes.network.alibabacloud.com', 'node1']), '/apis/network.alibabacloud.com/v1beta1/nodes/node1')
  assert.throws(() => pathOf(['secrets']), /does not know secrets/)
})
