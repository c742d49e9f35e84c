// SPDX-License-Identifier: Apache-2.0
import { after, test } from 'node:test'
import { tcp } from '../build.ts'
import { Node } from '../node.ts'
import { Machine } from '../run.ts'
import { families, nodeRows, pod1, remote, sent } from '../topology.ts'

const machine = new Machine()
after(() => machine[Symbol.dispose]())

for (const family of families) {
  test(`IPv${family}: a pod reaches who is far away through its ENI`, () => {
    const node = new Node(machine, nodeRows())
    node.meet(sent(pod1, remote[family], tcp(40000, 80, 'S')), 'podToRemote')
  })
}
