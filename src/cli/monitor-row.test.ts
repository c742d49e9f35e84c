// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type EventNames, eventLine, eventRow, isWanted } from '#cli/monitor-row.ts'
import { event } from '#kernel/bpf/structs.ts'
import { dropReasons, eventFlag, hook, path } from '#kernel/bpf/words.ts'
import { parseIp } from '#net/ip.ts'

const names: EventNames = {
  pods: new Map([
    ['10.0.1.5', 'default/a'],
    ['fd00::5', 'default/a'],
    ['10.0.1.6', 'default/b'],
  ]),
  endpoints: new Map([
    [20, 'default/a'],
    [21, 'default/b'],
  ]),
  frontends: new Map([[1, '10.96.0.10:80']]),
  boot: Date.UTC(2026, 0, 2, 3, 0, 0),
}

function rowOf(value: Parameters<typeof event.encode>[0]) {
  return eventRow(event.decode(event.encode({ time: 62_003_999_999n, length: 74, ...value })), names)
}

const out = { endpoint: 20, ifIndex: 20, hook: hook.podIn, source: parseIp('10.0.1.5'), sourcePort: 4000, protocol: 6, tcpFlags: 2 }
const to = (ip: string, port: number) => ({ destination: parseIp(ip), destinationPort: port })
const dropped = rowOf({ ...out, ...to('198.51.100.1', 80), reason: dropReasons['policy-egress'] })
const spoofed = rowOf({ ...out, source: parseIp('10.0.1.6'), ...to('198.51.100.1', 80), reason: dropReasons['spoofed-source'] })
const passed = rowOf({ ...out, ...to('10.0.2.6', 8080), path: path.podToRemote, target: 7, frontend: 1, flags: eventFlag.first })

test('a line for each kind of event', () => {
  const unread = rowOf({ ifIndex: 20, endpoint: 20, hook: hook.podIn, reason: dropReasons.malformed })
  const ping = { hook: hook.eniIn, ifIndex: 7, protocol: 58, source: parseIp('2001:db8::7'), destination: parseIp('fd00::5') }
  const answer = rowOf({ ...ping, path: path.remoteToPod, frontend: 9 })
  const udp = rowOf({ ...ping, protocol: 17, sourcePort: 53, destinationPort: 999, reason: 255 })
  assert.deepEqual([dropped, passed, spoofed, unread, answer, udp].map(eventLine), [
    '03:01:02.003 dropped policy-egress at podIn: default/a 10.0.1.5:4000 -> 198.51.100.1:80 TCP SYN, 74 bytes',
    '03:01:02.003 passed podToRemote at podIn: default/a 10.0.1.5:4000 -> 10.0.2.6:8080 TCP SYN, 74 bytes, Service 10.96.0.10:80, first packet',
    '03:01:02.003 dropped spoofed-source at podIn of default/a: default/b 10.0.1.6:4000 -> 198.51.100.1:80 TCP SYN, 74 bytes',
    '03:01:02.003 dropped malformed at podIn of default/a: - -> - not read, 74 bytes',
    '03:01:02.003 passed remoteToPod at eniIn: 2001:db8::7 -> default/a fd00::5 ICMPv6, 74 bytes, Service number 9',
    '03:01:02.003 dropped 255 at eniIn: [2001:db8::7]:53 -> default/a [fd00::5]:999 UDP, 74 bytes',
  ])
})

const call = { hook: hook.socket, pid: 812, task: 'curl', protocol: 6, frontend: 1, flags: eventFlag.first }
const translated = rowOf({ ...call, ...to('10.0.1.6', 8080) })
const sent = rowOf({ ...call, ...to('10.0.2.6', 53), protocol: 17, flags: eventFlag.first | eventFlag.datagram })
const refused = rowOf({ ...call, ...to('10.96.0.10', 80), reason: dropReasons['service-without-backend'] })

test('system calls have a process instead of a source, and are no packets', () => {
  assert.deepEqual([translated, sent, refused].map(eventLine), [
    '03:01:02.003 translated connect at socket: curl (812) -> default/b 10.0.1.6:8080 TCP, Service 10.96.0.10:80',
    '03:01:02.003 translated sendmsg at socket: curl (812) -> 10.0.2.6:53 UDP, Service 10.96.0.10:80',
    '03:01:02.003 refused service-without-backend at socket: curl (812) -> 10.96.0.10:80 TCP, Service 10.96.0.10:80',
  ])
  const { bytes, flags, process } = translated
  assert.deepEqual([bytes, flags, process], [undefined, undefined, { pid: 812, name: 'curl' }])
})

test('a row for programs', () => {
  assert.deepEqual(passed, {
    time: '2026-01-02T03:01:02.003Z',
    verdict: 'passed',
    what: 'podToRemote',
    hook: 'podIn',
    ifIndex: 20,
    pod: 'default/a',
    protocol: 'TCP',
    flags: 'SYN',
    source: '10.0.1.5:4000',
    sourcePod: 'default/a',
    destination: '10.0.2.6:8080',
    frontend: '10.96.0.10:80',
    first: true,
    bytes: 74,
  })
})

test('what narrows it', () => {
  const all = [dropped, passed, spoofed, translated, refused]
  const left = (filter: Parameters<typeof isWanted>[1]) => all.filter(row => isWanted(row, filter))
  assert.deepEqual(left({ drops: false }), all)
  assert.deepEqual(left({ drops: true }), [dropped, spoofed, refused])
  assert.deepEqual(left({ drops: false, reason: 'spoofed-source' }), [spoofed])
  assert.deepEqual(left({ drops: false, reason: 'service-without-backend' }), [refused])
  assert.deepEqual(left({ drops: false, pod: 'default/b' }), [spoofed, translated])
  assert.deepEqual(left({ drops: true, pod: 'default/a' }), [dropped, spoofed])
  assert.deepEqual(left({ drops: false, pod: 'default/c' }), [])
})
