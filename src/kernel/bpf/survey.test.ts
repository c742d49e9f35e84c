// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ValueOf } from '#kernel/bpf/layout.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { unitsPerSecond } from '#kernel/bpf/seen.ts'
import { judge } from '#kernel/bpf/survey.ts'
import { flowFlag, flowState, flowWay } from '#kernel/bpf/words.ts'
import { parseIp } from '#net/ip.ts'

const now = 5_000_000
const ago = (seconds: number) => now - Math.round(seconds * unitsPerSecond)
const { fresh } = flowFlag
const [tcp, udp] = [6, 17]

function judged(...rows: readonly (Partial<ValueOf<typeof maps.flows.value>> & { local?: string; protocol?: number; age: number })[]) {
  const keys = rows.map(({ local = '10.0.1.5', protocol = tcp }, i) =>
    maps.flows.key.encode({ local: parseIp(local), remote: parseIp('10.0.2.6'), localPort: i, protocol }),
  )
  const values = rows.map(({ age, ...value }) =>
    maps.flows.value.encode({ state: flowState.new, way: flowWay.direct, ...value, seen: ago(age) }),
  )
  const { key, value } = maps.flows
  return judge({ keys: Buffer.concat(keys), keySize: key.size, values: Buffer.concat(values), valueSize: value.size }, now)
}

test('a credit ends a minute after the last packet, that of a choice for datagrams later', () => {
  const { idle, fresh: all } = judged(
    { age: 59, flags: fresh },
    { age: 61, flags: fresh },
    { age: 61, flags: fresh, state: flowState.open },
    { age: 1000 },
    { age: 61, flags: fresh, way: flowWay.service },
    { age: 61, flags: fresh, way: flowWay.service, protocol: udp },
    { age: 601, flags: fresh, way: flowWay.service, protocol: udp },
    { age: -1, flags: fresh },
  )
  assert.deepEqual([idle, all], [[1, 2, 4, 6], 7])
})

test('flows of a pod are those that go on, once each', () => {
  const { live } = judged(
    { age: 1 },
    { age: 1, way: flowWay.service },
    { age: 100, state: flowState.open },
    { age: 100, state: flowState.open, protocol: udp, local: 'fd00::5' },
    { age: 200, state: flowState.open, protocol: udp },
    { age: 1, state: flowState.denied },
    { age: 1, state: flowState.closing },
    { age: 61 },
  )
  assert.deepEqual(
    [...live],
    [
      ['10.0.1.5', 2],
      ['fd00::5', 1],
    ],
  )
})
