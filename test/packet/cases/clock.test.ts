// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { featuresOf } from '#kernel/bpf/features.ts'
import { bpfObject } from '../../../tools/bpf/compile.ts'
import { until } from '../../support/until.ts'
import { udp } from '../build.ts'
import { Machine, now } from '../run.ts'
import { nodeRows, pod1, remote, sent } from '../topology.ts'
import { rowsOf } from '../world.ts'

/** How late the kernel's last tick may be told, in units of `seen`: 10 ms, where a second has the fewest. */
const tick = 10

/** The other cases say themselves what time it is. */
test('a flow is as old as the last tick says, where the kernel tells it cheaply', async () => {
  const features = featuresOf(bpfObject())
  assert.deepEqual(Object.keys(features), ['coarse_clock'])
  using machine = new Machine({ ...features, test_mode: 0 })
  machine.write(nodeRows())
  const { program, arrival } = sent(pod1, remote[4], udp(40000, 53))
  // The tick itself may be late where the machine has other things to do.
  await until(() => {
    const before = now()
    machine.run(program, arrival)
    const [flow] = rowsOf(machine.read(['new_flows']), 'new_flows')
    const late = before - (flow?.value.seen ?? 0)
    assert.ok(late >= before - now(), `${late} units before`)
    return late <= tick
  }, 'a flow is as young as a tick')
})

test('an object that knows of no such clock is told of none', () => {
  assert.deepEqual(featuresOf({ rodata: { bytes: '', variables: {} } }), {})
})
