// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { withMtuOf } from '#datapath/veth.ts'
import { parseIfName, parseNetnsPath } from '#kernel/names.ts'
import type { NsState } from '#kernel/state.ts'
import { parseMac } from '#net/mac.ts'
import { emptyNamespace } from '../../test/support/empty-namespace.ts'

const eth0 = parseIfName('eth0')
const a: SharedEniAttachment = {
  kind: 'shared-eni',
  containerId: 'c1',
  netns: parseNetnsPath('/run/netns/pod'),
  ifName: eth0,
  hostIfName: parseIfName('cali0d7763386da'),
  mtu: 1500,
  eni: { eniId: 'eni-1', mac: parseMac('00:16:3e:00:00:01') },
  defaultRoute: true,
  extraRoutes: [],
}

function pod(mtu: number): NsState {
  const links = [{ name: eth0, index: 2, mtu, up: true }]
  return { ...emptyNamespace, ns: a.netns, links }
}

test('a smaller MTU of the pod counts, unless IPv6 ends with it; a larger one does not', () => {
  const mtus = (wanted: number) => [1279, 1280, 1400, 1500, 9000].map(mtu => withMtuOf({ ...a, mtu: wanted }, pod(mtu)).mtu)
  assert.deepEqual(mtus(1500), [1500, 1280, 1400, 1500, 1500])
  assert.deepEqual(mtus(600), [600, 600, 600, 600, 600])
})
