// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { modeNotice } from '#controller/node/mode.ts'
import { eniModeLabel, type NodeCr } from '#kube/crd/node.ts'
import type { Node } from '#kube/reflect/node.ts'

const labels = (value: string | undefined) => (value === undefined ? {} : { labels: { [eniModeLabel]: value } })
const notice = (asked: string | undefined, done: string | undefined) => {
  const node: Node = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n', ...labels(asked) }, spec: {} }
  const cr: NodeCr = { apiVersion: 'network.alibabacloud.com/v1beta1', kind: 'Node', metadata: { name: 'n', ...labels(done) }, spec: {} }
  return modeNotice(node, cr)
}

test('a label that came or went after the node had joined has no effect, and the way out is told', () => {
  assert.equal(
    notice('eniOnly', 'default'),
    'node n got the label k8s.aliyun.com/exclusive-mode-eni-type=eniOnly after it had joined, which changes nothing: its pods go on sharing its ENIs, and a terwayd that starts serves none of them; take it back, or drain the node, delete the Kubernetes node, wait until its Node CR is gone, and let it join again with the label',
  )
  assert.match(notice(undefined, 'eniOnly') ?? '', /^node n lost the label .*: its pods go on having an ENI each, .* without the label$/)
  assert.match(notice('ENIONLY', undefined) ?? '', /got the label/)
})

test('nothing is told where the label says what is done', () => {
  for (const [asked, done] of [
    ['EniOnly', 'eniOnly'],
    [undefined, 'default'],
    ['something', undefined],
  ] as const)
    assert.equal(notice(asked, done), undefined)
})
