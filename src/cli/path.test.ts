// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FlowRow } from '#cli/ct-rows.ts'
import { flowsTo, parseDestination } from '#cli/path.ts'
import { type PathFound, stepLines } from '#cli/path-steps.ts'
import { mode } from '#kernel/bpf/words.ts'

const row = (change: Partial<FlowRow>): FlowRow => ({
  ...{
    kind: 'pod',
    protocol: 'TCP',
    state: 'open',
    way: 'direct',
    local: '10.0.1.5',
    localPort: 4000,
    remote: '10.0.2.6',
    remotePort: 8080,
  },
  ...{ began: 'local', txPackets: 4, txBytes: 300, rxPackets: 3, rxBytes: 200, idleSeconds: 1, outdated: false },
  ...change,
})
const choice = row({ kind: 'choice', way: 'service', remote: '10.96.0.10', remotePort: 80, frontend: '10.96.0.10:80' })
const flow = row({ frontend: '10.96.0.10:80' })
const found: PathFound = {
  ...{ pod: 'shop/web', address: '10.0.1.5', destination: '10.96.0.10', port: 80, mode: mode.guard | mode.forward | mode.service },
  ...{ device: 'cali0', state: 'live', eni: 'eth1', service: 'shop/db', choice, flow, counted: {} },
}
const { service: _, choice: __, flow: ___, ...bare } = found

test('each step in words', () => {
  const attempt = { outcome: 'connected', milliseconds: 1.5, localPort: 4000 }
  assert.deepEqual(stepLines({ ...found, attempt, counted: { podToRemote: 2 } }), [
    'shop/web 10.0.1.5 -> 10.96.0.10:80',
    '├─ tried from port 4000: connected after 1.5 ms',
    '├─ leaves by cali0, whose programs have the pod as live (guard, forward, service)',
    '├─ translated: Service shop/db, 10.96.0.10:80',
    '├─ to 10.0.2.6:8080: past the host stack, out by eth1',
    '├─ open, sent 4 packets, received 3, idle for 1 s',
    '└─ packets counted meanwhile, of all pods of this node: podToRemote 2',
  ])
})

test('ways that differ', () => {
  const [, , last = ''] = stepLines({ ...bare, hostReason: 'an address of this node', flow: row({ way: 'host' }) })
  assert.match(last, /to 10\.0\.2\.6:8080: through the host stack: an address of this node$/)
  assert.match(
    stepLines({ ...bare, peer: 'shop/p', flow: row({}) })[2] ?? '',
    /to shop\/p 10.*: past the host stack, directly into the pod$/,
  )
  assert.match(stepLines({ ...bare, flow: row({ state: 'denied' }) })[2] ?? '', /: dropped$/)
  assert.match(stepLines({ ...bare, hostReason: 'multicast' })[2] ?? '', /no flow is known; it goes through the host stack: multicast$/)
  assert.match(stepLines({ ...bare, mode: 0 })[1] ?? '', /leaves by cali0 into the host stack, which carries everything on this node/)
})

test('the newest connection there counts, with its choice', () => {
  const older = row({ localPort: 3999, idleSeconds: 9, frontend: '10.96.0.10:80' })
  const others = [row({ local: '10.0.1.6' }), row({ began: 'remote' }), row({ outdated: true, idleSeconds: 0 }), row({ remotePort: 81 })]
  const all = [older, ...others, choice, flow]
  assert.deepEqual(flowsTo(all, '10.0.1.5', '10.96.0.10', 80, undefined), { choice, flow })
  assert.deepEqual(flowsTo(all, '10.0.1.5', '10.96.0.10', undefined, 3999), { flow: older })
  assert.deepEqual(flowsTo(all, '10.0.1.5', '10.0.2.6', 8080, undefined), { flow })
  assert.deepEqual(flowsTo(all, '10.0.1.5', '10.96.0.10', 8, undefined), {})
})

test('a destination is an address, with or without a port', () => {
  assert.deepEqual(['10.0.0.1', 'fd00::1', '10.0.0.1:80', '[fd00::1]:443'].map(parseDestination), [
    { ip: '10.0.0.1' },
    { ip: 'fd00::1' },
    { ip: '10.0.0.1', port: 80 },
    { ip: 'fd00::1', port: 443 },
  ])
  for (const wrong of ['', 'web', '10.0.0.1:0', '10.0.0.1:65536', '10.0.0.300:80', '[10.0.0.1'])
    assert.throws(() => parseDestination(wrong), { code: 'bad-argument' }, wrong)
})
