// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { DatapathLab, internet4, internet6, type Probe, v2 } from './datapath-lab.ts'

/** ICMP errors find their way, also through translation, where what they carry has to be translated back; and what is bound to the link. */

const service = { remote4: '10.96.0.10', local4: '10.96.0.11', remote6: 'fd00:96::10', local6: 'fd00:96::11' }
/** Nobody listens there. */
const closed = 9
const dns = '169.254.20.10'

let lab: DatapathLab
let pod: Probe
before(async () => {
  lab = await DatapathLab.create('ve', { v2: true })
  await lab.datapath.setNode(v2, [])
  for (const [n, eni] of [
    [11, 1],
    [12, 2],
  ] as const)
    await lab.datapath.setup(lab.pod(n, { eni, families: [4, 6] }))
  for (const family of ['ip', 'ip6']) {
    lab.run('host', `nft add table ${family} nat`)
    lab.run('host', `nft add chain ${family} nat before { type nat hook prerouting priority -100 ; }`)
  }
  for (const [family, vip, backend] of [
    ['ip', service.remote4, internet4],
    ['ip', service.local4, '10.0.2.12'],
    ['ip6', service.remote6, internet6],
    ['ip6', service.local6, 'fd00:2::12'],
  ])
    lab.run('host', `nft add rule ${family} nat before ${family} daddr ${vip} dnat to ${backend}`)
  await lab.probe('gw1')
  await lab.probe('pod12')
  pod = await lab.probe('pod11')
})
after(() => lab.close())

const script = fileURLToPath(new URL('udp-refused.ts', import.meta.url))
const refusal = (ns: string, to: string) => lab.run(ns, `${process.execPath} ${script} ${to} ${closed}`).trim()

for (const [what, to] of [
  ['another machine, IPv4', internet4],
  ['another machine, IPv6', internet6],
  ['a pod of this node, IPv4', '10.0.2.12'],
  ['a pod of this node, IPv6', 'fd00:2::12'],
  ['a Service with a backend elsewhere, IPv4', service.remote4],
  ['a Service with a backend elsewhere, IPv6', service.remote6],
  ['a Service with a backend on this node, IPv4', service.local4],
  ['a Service with a backend on this node, IPv6', service.local6],
] as const)
  test(`a pod is told that nobody listens: ${what}`, async () => {
    const errors = async () => {
      // Past the host stack they are counted as the packets of their flow are.
      const { icmpError = 0, remoteToPod = 0, podToPod = 0 } = await lab.counted('paths')
      return icmpError + remoteToPod + podToPod
    }
    const before = await errors()
    assert.equal(refusal('pod11', to), 'ECONNREFUSED')
    assert.ok((await errors()) > before, 'by the programs')
    assert.deepEqual(await lab.counted('drops'), {})
  })

test('somebody outside is told that nobody listens in the pod', async () => {
  for (const to of ['10.0.1.11', 'fd00:1::11']) assert.equal(refusal('gw1', to), 'ECONNREFUSED')
  assert.deepEqual(await lab.counted('drops'), {})
})

test("a resolver on the node's own link-local address answers, and stays with the host stack", async () => {
  lab.run('host', `ip addr add ${dns}/32 dev lo`)
  await lab.probe('host')
  const before = await lab.counted('paths')
  assert.equal(await pod.ask(dns), 'host 10.0.1.11')
  assert.equal(await pod.stream(dns), 'ok')
  const now = await lab.counted('paths')
  assert.ok((now.podToHost ?? 0) > (before.podToHost ?? 0))
  assert.equal(now.podToRemote, before.podToRemote)
})
