// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kernelOf, series } from '../../tools/vm/kernels.ts'
import type { Exchange, Finding } from './guest.ts'
import { runGuest } from './machine.ts'

/** Emulated kernels are Debian's for x64, and Node is this machine's. */
const skip = process.arch === 'x64' ? false : 'its kernels are for x64'

const port = 8080
/** Over TCP and UDP: who is asked, and the address that he must have seen. */
const seen = (...pairs: readonly (readonly [target: string, client: string])[]): Exchange['seen'] =>
  Object.fromEntries(pairs.flatMap(([target, client]) => ['tcp', 'udp'].map(protocol => [`${protocol} ${target} ${port}`, client])))

const expected: Finding['exchanges'] = {
  'pod to world': { seen: seen(['198.51.100.1', '10.0.1.11'], ['2001:db8:ffff::1', 'fd00:1::11']), ways: ['podToRemote', 'remoteToPod'] },
  'world to pod': { seen: seen(['10.0.1.11', '198.51.100.1'], ['fd00:1::11', '2001:db8:ffff::1']), ways: ['podToRemote', 'remoteToPod'] },
  'pod to pod': { seen: seen(['10.0.1.12', '10.0.1.11'], ['fd00:1::12', 'fd00:1::11']), ways: ['podToPod'] },
  'pod to host': {
    seen: seen(['192.0.2.10', '10.0.1.11'], ['2001:db8:1::10', 'fd00:1::11']),
    ways: ['hostToPod', 'podToHost', 'podViaHost'],
  },
  'host to pod': { seen: seen(['10.0.1.12', '192.0.2.10'], ['fd00:1::12', '2001:db8:1::10']), ways: ['hostToPod', 'podViaHost'] },
  // Its own device has no program, nor has its host end where programs translate nothing.
  'pod with an ENI to world': { seen: seen(['198.51.100.1', '10.0.2.13'], ['2001:db8:ffff::1', 'fd00:2::13']), ways: [] },
  'pod with an ENI to host': { seen: seen(['192.0.2.10', '10.0.2.13'], ['2001:db8:1::10', 'fd00:2::13']), ways: [] },
  'host to pod with an ENI': { seen: seen(['10.0.2.13', '192.0.2.10'], ['fd00:2::13', '2001:db8:1::10']), ways: [] },
  'host to Service': { seen: seen(['10.96.0.10', '192.0.2.10'], ['fd00:96::10', '2001:db8:1::10']), ways: ['hostToPod', 'podViaHost'] },
  'pod to Service': { seen: seen(['10.96.0.10', '10.0.1.11'], ['fd00:96::10', 'fd00:1::11']), ways: ['podToPod'] },
  'pod to itself': { seen: seen(['10.96.0.10', '10.96.0.10'], ['fd00:96::10', 'fd00:96::10']), ways: ['hairpin'] },
  // The node listens on this port, too: the Service comes first.
  'world to NodePort': {
    seen: seen(['192.0.2.10', '192.0.2.1'], ['2001:db8:1::10', '2001:db8:1::1']),
    ways: ['nodeToPod', 'podAnswersClient'],
  },
  'world to another node': {
    seen: seen(['192.0.2.11', '192.0.2.10'], ['2001:db8:1::11', '2001:db8:1::10']),
    ways: ['nodeToRemote', 'remoteAnswersClient'],
  },
  'host without cookies': {
    seen: seen(['10.96.0.10', '192.0.2.10'], ['fd00:96::10', '2001:db8:1::10']),
    ways: ['hostToPod', 'podViaHost'],
  },
  // It never leaves the pod, who sees its own address.
  'pod to itself by its sockets': { seen: seen(['10.96.0.10', '10.0.1.12'], ['fd00:96::10', 'fd00:1::12']), ways: [] },
}

/** The only feature that one of them never has. The others do without it once, and without programs at sockets, which pods and clients outside need not. */
const lacking = (name: string) => (name === '5.10' ? ['netns-cookie'] : [])

function assertAsExpected({ probes, exchanges, drops, told, called }: Finding, never: readonly string[]): void {
  const absent = Object.entries(probes).map(([when, list]) => [when, list.filter(p => !p.ok).map(p => p.feature)])
  assert.deepEqual(Object.fromEntries(absent), {
    bare: ['bpf-file-system', 'clsact-blocks', 'socket-programs', ...never],
    mounted: ['clsact-blocks', ...never],
    ready: never,
  })
  assert.deepEqual(exchanges, expected)
  assert.deepEqual(drops, [])
  assert.deepEqual(told, ['podToRemote', 'remoteToPod'])
  assert.deepEqual(called, ['eth0', 'eth2'])
}

for (const name of series) {
  test(`kernel ${name} takes the programs, says what it lacks, and forwards past its host stack`, { skip }, async t => {
    const kernel = kernelOf(name)
    const started = performance.now()
    const { finding, console, boots } = await runGuest(kernel)
    const took = Math.round((performance.now() - started) / 1000)
    t.diagnostic(
      `${kernel.release}: loaded in ${finding.loadMs} ms, emulated; ${took} s in all, ${boots} ${boots === 1 ? 'boot' : 'boots'}`,
    )
    try {
      assertAsExpected(finding, lacking(name))
    } catch (e) {
      throw new Error(`on ${kernel.release}, whose kernel said:\n${console}`, { cause: e })
    }
  })
}
