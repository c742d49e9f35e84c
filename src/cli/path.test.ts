// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FlowRow } from '#cli/ct-rows.ts'
import { flowsTo } from '#cli/path.ts'
import { type Frontend, pick } from '#cli/path-resolve.ts'
import { type PathFound, stepLines } from '#cli/path-steps.ts'
import { type Seen, seenIn } from '#cli/path-watch.ts'
import { event } from '#kernel/bpf/structs.ts'
import { dropReasons, hook, mode, path } from '#kernel/bpf/words.ts'
import { parseIp } from '#net/ip.ts'

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

test('a pod that has an ENI for itself', () => {
  const { eni: ____, ...own } = { ...bare, ownEni: 'eni-1', state: 'exclusive' }
  const lines = (change: Partial<PathFound>) =>
    stepLines({ ...own, ...change })
      .slice(1)
      .map(l => l.slice(3))
  const out = 'leaves by its own ENI eni-1, past the node'
  assert.deepEqual(lines({}), [out])
  assert.deepEqual(lines({ service: 'shop/db' }), ['an address of Service shop/db, in whose place its socket talks to a backend', out])
  const nobody = 'an address of Service shop/db, which nobody translates for pods of this node'
  assert.deepEqual(lines({ service: 'shop/db', mode: undefined }), [nobody, out])
  assert.deepEqual(lines({ hostReason: 'an address of this node' }), ['leaves by its pair to the node, cali0: an address of this node'])
  const attempt = { outcome: 'no answer', milliseconds: 3000 }
  assert.equal(lines({ attempt, seen: [] }).at(-1), 'not dropped by this node: sent out by eni-1, and nothing came back')
})

const to = (ip: string, port?: number) => ({ ip: parseIp(ip), ...(port !== undefined && { port }) })

test('the newest connection there counts, with its choice', () => {
  const older = row({ localPort: 3999, idleSeconds: 9, frontend: '10.96.0.10:80' })
  const others = [row({ local: '10.0.1.6' }), row({ began: 'remote' }), row({ outdated: true, idleSeconds: 0 }), row({ remotePort: 81 })]
  const all = [older, ...others, choice, flow]
  assert.deepEqual(flowsTo(all, '10.0.1.5', to('10.96.0.10', 80)), { choice, flow })
  assert.deepEqual(flowsTo(all, '10.0.1.5', to('10.96.0.10'), 3999), { flow: older })
  assert.deepEqual(flowsTo(all, '10.0.1.5', to('10.0.2.6', 8080)), { flow })
  assert.deepEqual(flowsTo(all, '10.0.1.5', to('10.96.0.10', 8)), {})
  assert.deepEqual(flowsTo(all, '10.0.1.5', { ...to('10.0.2.6', 8080), protocol: 'udp' }), {})
})

test('what nobody answers: dropped here, or given away', () => {
  const attempt = { outcome: 'no answer', milliseconds: 3000, localPort: 4000 }
  const udp: PathFound = { ...bare, protocol: 'udp', attempt }
  const passed: Seen = { hook: 'podIn', verdict: 'passed', what: 'podToRemote', answers: false, packets: 3 }
  const dropped: Seen = { ...passed, verdict: 'dropped', what: 'policy-ingress' }
  const last = (found: Partial<PathFound>) =>
    stepLines({ ...udp, ...found })
      .at(-1)
      ?.slice(3)
  const silent = row({ protocol: 'UDP', state: 'new', rxPackets: 0 })
  assert.equal(last({ seen: [passed], flow: silent }), 'not dropped by this node: sent out by eth1, and nothing came back')
  assert.equal(
    last({ seen: [passed], flow: silent, peer: 'shop/p' }),
    'not dropped by this node: delivered to shop/p, which did not answer',
  )
  assert.equal(last({ seen: [dropped] }), 'dropped by this node: policy-ingress at podIn, on the way out')
  assert.match(last({ seen: [passed, { ...dropped, answers: true }], flow: silent }) ?? '', /at podIn, on the way back$/)
  assert.match(last({ seen: [passed], flow: row({ way: 'host', rxPackets: 0 }) }) ?? '', /given to the host stack, and nothing came back/)
  assert.equal(last({ seen: [] }), 'no packet of it left the pod')
  assert.match(last({ mode: 0 }) ?? '', /^no program tells of it: the host stack has it/)
  assert.match(last({ flow: row({ state: 'denied' }) }) ?? '', /the flow is denied$/)
  const refused = { ...udp, attempt: { ...attempt, outcome: 'ECONNREFUSED' } }
  assert.equal(stepLines({ ...refused, seen: [dropped] }).at(-1), '└─ refused by this node: policy-ingress at podIn')
  assert.equal(stepLines({ ...refused, seen: [passed] }).at(-1), '└─ refused by the other side: nobody listens there')
  assert.match(stepLines({ ...udp, flow: row({ protocol: 'ICMP', remotePort: 77 }) })[3] ?? '', /to 10\.0\.2\.6: past/)
  assert.deepEqual(stepLines({ ...udp, named: 'svc/shop/db', seen: [passed, { ...passed, answers: true }] }).slice(0, 2), [
    'shop/web 10.0.1.5 -> 10.96.0.10:80 (UDP, named svc/shop/db)',
    '├─ tried from port 4000: no answer after 3000 ms',
  ])
})

test("an attempt's own packets are told from all others", () => {
  const [me, it] = [parseIp('10.0.1.5'), parseIp('10.0.2.6')]
  const told = (value: Parameters<typeof event.encode>[0]) => event.decode(event.encode({ protocol: 17, ...value }))
  const out = { source: me, sourcePort: 4000, destination: it, destinationPort: 53, hook: hook.podIn, path: path.podToRemote }
  const back = { source: it, sourcePort: 53, destination: me, destinationPort: 4000, hook: hook.eniIn }
  const all = [
    ...[told(out), told(out), told({ ...out, sourcePort: 4001 }), told({ ...out, protocol: 6 }), told({ ...out, source: it })],
    ...[told({ ...back, reason: dropReasons['policy-ingress'] }), told({ ...out, hook: hook.socket })],
  ]
  assert.deepEqual(seenIn(all, me, 4000, [17]), [
    { hook: 'podIn', answers: false, verdict: 'passed', what: 'podToRemote', packets: 2 },
    { hook: 'eniIn', answers: true, verdict: 'dropped', what: 'policy-ingress', packets: 1 },
  ])
})

test('one port of a Service is meant, of the first family that the pod has', () => {
  const frontend = (ip: string, port: number, protocol: Frontend['protocol'] = 'tcp'): Frontend => ({ ip: parseIp(ip), port, protocol })
  const [four, six] = ['10.96.0.10', 'fd00:96::10'].map(ip => [frontend(ip, 53), frontend(ip, 53, 'udp'), frontend(ip, 80)])
  const all = [...(four ?? []), ...(six ?? [])]
  const d = (more: object = {}) => ({ text: 'svc/shop/db', ...more })
  assert.deepEqual(pick(d({ port: 80 }), all, [4, 6]), { ip: '10.96.0.10', port: 80, protocol: 'tcp' })
  assert.deepEqual(pick(d({ port: 53 }), all, [6, 4]), { ip: 'fd00:96::10', port: 53, protocol: 'tcp' })
  assert.deepEqual(pick(d({ protocol: 'udp' }), all, [4]), { ip: '10.96.0.10', port: 53, protocol: 'udp' })
  assert.deepEqual(pick(d({ protocol: 'icmp' }), all, [6]), { ip: 'fd00:96::10', protocol: 'icmp' })
  assert.throws(() => pick(d(), all, [4]), /has 53\/TCP, 53\/UDP, 80\/TCP: say which port/)
  assert.throws(() => pick(d({ port: 81 }), all, [4]), /no such port, but 53\/TCP/)
  assert.throws(() => pick(d({ port: 80 }), four ?? [], [6]), /it has 10\.96\.0\.10, and the pod has IPv6 alone/)
  assert.throws(() => pick(d(), [], [4]), /headless/)
})
