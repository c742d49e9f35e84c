// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { forgottenFlows } from '#datapath/v2/forget.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { flowFlag, flowWay } from '#kernel/bpf/words.ts'

const { key, value } = maps.flows
const flow = (localPort: number, protocol: number, about: Parameters<typeof value.encode>[0]) => ({
  key: key.encode({ localPort, protocol }),
  value: value.encode(about),
})
const flows = [
  flow(1, 6, { way: flowWay.direct }),
  flow(2, 6, { way: flowWay.service, frontend: 7 }),
  flow(3, 6, { way: flowWay.direct, frontend: 7 }),
  flow(4, 17, { way: flowWay.host }),
  flow(5, 17, { way: flowWay.host, flags: flowFlag.answered }),
  flow(6, 6, { way: flowWay.host }),
]

function ports(serves: boolean): readonly number[] {
  return forgottenFlows('flows', flows, serves).flatMap(op =>
    op.op === 'map-del' && op.map === 'flows' ? [key.decode(Buffer.from(op.key, 'hex')).localPort] : [],
  )
}

test('when programs begin to translate, datagrams to the host stack that nobody answers are decided anew', () => {
  assert.deepEqual(ports(true), [4])
})

test('when they translate no more, what they translated is', () => {
  assert.deepEqual(ports(false), [2, 3])
})
