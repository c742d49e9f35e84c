// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FaultSpec } from '#sim/fault.ts'
import { World } from './world.ts'

const failures: Readonly<Record<string, FaultSpec>> = {
  'the reply is lost after success': { kind: 'lost-reply' },
  '500 after success': { kind: 'error', when: 'after' },
  '503 before any effect': { kind: 'error', when: 'before', code: 'ServiceUnavailable', status: 503 },
}
const actions = [
  'CreateNetworkInterface',
  'AttachNetworkInterface',
  'AssignPrivateIpAddresses',
  'UnassignPrivateIpAddresses',
  'DetachNetworkInterface',
  'DeleteNetworkInterface',
]

/** Twice: the quick repetition inside the client is struck too. Then for so long that rounds and their tokens are repeated. */
const counts = [2, 7]

for (const [what, failure] of Object.entries(failures)) {
  for (const action of actions) {
    test(`${action}: ${what}`, async () => {
      for (const count of counts) {
        await using w = await World.make()
        const fault = w.simulator.addFault({ ...failure, action, count })
        w.controlplane()
        const node = await w.join('node-1')
        const names = Array.from({ length: 14 }, (_, i) => `pod-${i}`)
        // Two ENIs, the first filled by assigning; then all of it is given back.
        node.add('pod-0')
        await w.until('the first pod is served', () => node.served)
        node.add(...names.slice(1))
        await w.atRest()
        const tokens = w.wire.of('CreateNetworkInterface').map(s => s.params.get('ClientToken'))
        assert.equal(new Set(tokens).size, w.enis().length, 'each ENI is asked for with one token, however often')
        assert.ok(w.enis().length <= 2, `${w.enis().length} ENIs for 14 pods`)
        for (const name of names.slice(3)) node.remove(name)
        await w.until('surplus is given back', () => addresses(w) <= 3 + 3 + 2, 300_000)
        await w.atRest()
        const hits = w.simulator.faults().find(f => f.id === fault)?.hits ?? 0
        assert.ok(hits > 0, 'the fault was met')
      }
    })
  }
}

function addresses(w: World): number {
  return w.enis().reduce((n, e) => n + e.ipv4.length, 0)
}
