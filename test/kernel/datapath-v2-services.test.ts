// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ctList, ctStatus, type FlowFilter } from '#cli/ct.ts'
import type { FlowRow } from '#cli/ct-rows.ts'
import type { CliDeps } from '#cli/deps.ts'
import { maps } from '#kernel/bpf/maps.ts'
import type { Kernel } from '#kernel/port.ts'
import { until } from '../support/until.ts'
import { DatapathLab, hostIp4, hostIp6, internet4, internet6, type Probe } from './datapath-lab.ts'
import { nodes, putServices, type TestService } from './datapath-services.ts'

/**
 * Services without kube-proxy on both kinds of nodes: real connections and datagrams of both families, from pods, from outside and from the node itself, and
 * whom the backend saw. Pod 11 is on ENI 1 and pod 12 on ENI 2; what answers is named by where it is, so that an answer tells which way was taken.
 */

const pod11 = ['10.0.1.11', 'fd00:1::11']
const pod12 = ['10.0.2.12', 'fd00:2::12']
const internet = [internet4, internet6]
const host = [hostIp4, hostIp6]
const [client4, client6] = ['192.0.2.1', '2001:db8:1::1']

const ips = (n: number) => [`10.96.0.${n}`, `fd00:96::${n}`]
const local = { externalTrafficPolicy: 'Local' }
const all: readonly TestService[] = [
  { name: 'remote', ips: ips(10), backends: internet, nodePort: 30010 },
  { name: 'local', ips: ips(11), backends: pod12, local: true, nodePort: 30020 },
  { name: 'node', ips: ips(12), backends: host, local: true, nodePort: 30030 },
  { name: 'self', ips: ips(13), backends: pod11, local: true, nodePort: 30040 },
  { name: 'empty', ips: ips(14), nodePort: 30050 },
  { name: 'policy', ips: ips(15), backends: pod12, local: true, nodePort: 30060, spec: local },
  { name: 'nobody', ips: ips(16), backends: internet, nodePort: 30070, spec: local },
  { name: 'inside', ips: ips(17), backends: internet, spec: { internalTrafficPolicy: 'Local' } },
]

/** Of each family: whom is asked, and what it answers. */
type Case = readonly [what: string, to: readonly [string, string], answers: readonly [string, string]]

const fromPod = (gateway: string): Case[] => [
  ['a backend elsewhere', ['10.96.0.10', 'fd00:96::10'], [`${gateway} 10.0.1.11`, `${gateway} fd00:1::11`]],
  ['a pod of the node', ['10.96.0.11', 'fd00:96::11'], ['pod12 10.0.1.11', 'pod12 fd00:1::11']],
  ['the node', ['10.96.0.12', 'fd00:96::12'], ['host 10.0.1.11', 'host fd00:1::11']],
  ['itself', ['10.96.0.13', 'fd00:96::13'], ['pod11 10.96.0.13', 'pod11 fd00:96::13']],
]

const fromOutside: readonly (readonly [what: string, nodePort: number, answers: readonly [string, string]])[] = [
  ['a backend elsewhere, which sees the node', 30010, [`gw0 ${hostIp4}`, `gw0 ${hostIp6}`]],
  ['a pod of the node, which sees the client', 30020, [`pod12 ${client4}`, `pod12 ${client6}`]],
  ['the node, which sees the client', 30030, [`host ${client4}`, `host ${client6}`]],
  ['a pod of the node by policy Local', 30060, [`pod12 ${client4}`, `pod12 ${client6}`]],
]

/** What the commands ask of a kernel, of one that is not theirs to close. */
function bound({ kernel }: DatapathLab): Pick<Kernel, 'mapEntries' | 'countEntries'> {
  return { mapEntries: map => kernel.mapEntries(map), countEntries: map => kernel.countEntries(map) }
}

for (const [kind, node] of Object.entries(nodes)) {
  describe(`a ${kind} node`, () => {
    let lab: DatapathLab
    let pod: Probe
    let outside: Probe
    let own: Probe
    before(async () => {
      lab = await DatapathLab.create(`s${kind}`, { v2: true })
      await lab.datapath.setNode(node, [])
      await putServices(lab.kernel, all)
      for (const [n, eni] of [
        [11, 1],
        [12, 2],
      ] as const)
        await lab.datapath.setup(lab.pod(n, { eni, families: [4, 6] }))
      for (const ns of ['gw1', 'pod12']) await lab.probe(ns)
      ;[pod, outside, own] = [await lab.probe('pod11'), await lab.probe('gw0'), await lab.probe('host')]
    })
    after(() => lab.close())

    for (const [what, to, answers] of fromPod('gw1')) {
      for (const i of [0, 1] as const) {
        test(`a pod reaches ${what} by ${to[i]}`, async () => {
          assert.equal(await pod.call(to[i]), answers[i])
          assert.equal(await pod.ask(to[i]), answers[i])
          assert.equal(await pod.stream(to[i], 300_000), 'ok')
        })
      }
    }

    test('a pod is refused by a Service without a backend, and told nothing by an address that no Service has', async () => {
      for (const to of ['10.96.0.14', 'fd00:96::14']) assert.equal(await pod.call(to), 'ECONNREFUSED')
      for (const to of ['10.96.0.17', 'fd00:96::17', '10.96.0.99']) assert.equal(await pod.call(to, 300), 'timeout')
      const { 'service-without-backend': without = 0, 'service-unknown': unknown = 0 } = await lab.counted('drops')
      assert.ok(without >= 4 && unknown >= 1, `${without} ${unknown}`)
    })

    test("a pod reaches a port of its node, and the node's policy Local does not concern it", async () => {
      assert.equal(await pod.call(hostIp4, undefined, 30010), 'gw1 10.0.1.11')
      assert.equal(await pod.ask(hostIp6, undefined, 30020), 'pod12 fd00:1::11')
      assert.equal(await pod.call(hostIp4, undefined, 30070), 'gw1 10.0.1.11')
    })

    for (const [what, nodePort, answers] of fromOutside) {
      test(`port ${nodePort} leads to ${what}`, async () => {
        for (const i of [0, 1] as const) {
          const to = host[i] ?? ''
          assert.equal(await outside.call(to, undefined, nodePort), answers[i])
          assert.equal(await outside.ask(to, undefined, nodePort), answers[i])
          assert.equal(await outside.say({ cmd: 'stream', host: to, port: nodePort, bytes: 300_000 }), 'ok')
        }
      })
    }

    test('from outside: a Service without a backend refuses, one without a backend here says nothing, a ClusterIP is nobody', async () => {
      for (const to of host) {
        assert.equal(await outside.call(to, undefined, 30050), 'ECONNREFUSED')
        assert.equal(await outside.call(to, 300, 30070), 'timeout')
      }
    })

    test("processes on the node's own network reach Services by their sockets", async () => {
      assert.equal(await own.call('10.96.0.10'), `gw0 ${hostIp4}`)
      assert.equal(await own.ask('fd00:96::10'), `gw0 ${hostIp6}`)
      for (const to of ['10.96.0.11', 'fd00:96::11']) {
        assert.match(await own.call(to), /^pod12 /)
        assert.match(await own.ask(to), /^pod12 /)
      }
      assert.match(await own.call('10.96.0.12'), /^host /)
      assert.match(await own.call('127.0.0.1', undefined, 30020), /^pod12 /)
      for (const to of ['10.96.0.14', 'fd00:96::14']) assert.equal(await own.call(to), 'ECONNREFUSED')
    })

    test('the ways are those of the node: past the host stack where it forwards so', async () => {
      const taken = await lab.counted('paths')
      const common = ['hairpin', 'nodeToPod', 'nodeToRemote', 'nodeToHost', 'podAnswersClient', 'remoteAnswersClient', 'hostAnswersClient']
      const direct = ['podToRemote', 'remoteToPod', 'podToPod']
      assert.deepEqual(
        common.filter(way => taken[way] === undefined),
        [],
      )
      assert.deepEqual(
        direct.filter(way => taken[way] !== undefined),
        kind === 'v2' ? direct : [],
      )
    })

    test('terway-cli shows the flows of a Service: the choice, the flow behind it, and what the node carries for others', async () => {
      const lines: string[] = []
      const deps = {
        out: (line: string) => lines.push(line),
        connect: () => ({ mapping: () => Promise.reject(new Error('no daemon')), close: () => undefined }),
        kernel: async () => ({ ...bound(lab), close: async () => undefined }),
      } as unknown as CliDeps
      const shown = async (filter: FlowFilter) => {
        await ctList(deps, 's', { all: true, ...filter }, 'json')
        return JSON.parse(lines.pop() ?? '[]').map((r: FlowRow) => `${r.kind} ${r.protocol} ${r.remote} ${r.frontend}`)
      }
      const ofPod = await shown({ ip: '10.0.1.11', port: 7777, protocol: 'udp' })
      for (const row of [`choice UDP 10.96.0.10 10.96.0.10:7777`, `pod UDP ${internet4} 10.96.0.10:7777`])
        assert.ok(ofPod.includes(row), row)
      const ofNode = await shown({ ip: hostIp6, port: 30010 })
      for (const row of [`client UDP ${client6} [${hostIp6}]:30010`, `backend UDP ${internet6} [${hostIp6}]:30010`])
        assert.ok(ofNode.includes(row), row)
      await ctStatus(deps, 'json')
      const { used, room } = JSON.parse(lines.pop() ?? '{}').tables.find((t: { table: string }) => t.table === 'flows')
      assert.ok(used > 0 && room === maps.flows.entries, `${used} of ${room}`)
    })

    test('connections that were there before a Service lost its backend go on, others are refused', async () => {
      assert.equal(await pod.beat('tcp', '10.96.0.10', 5), 'ok')
      await putServices(
        lab.kernel,
        all.map(s => (s.name === 'remote' ? { ...s, backends: [] } : s)),
      )
      assert.equal(await pod.call('10.96.0.10'), 'ECONNREFUSED')
      const { echoed = 0 } = (await pod.beats())['tcp 10.96.0.10'] ?? {}
      await until(async () => ((await pod.beats())['tcp 10.96.0.10']?.echoed ?? 0) > echoed, 'it goes on')
      await putServices(lab.kernel, all)
      assert.equal(await pod.call('10.96.0.10'), 'gw1 10.0.1.11')
      await pod.hush()
    })
  })
}
