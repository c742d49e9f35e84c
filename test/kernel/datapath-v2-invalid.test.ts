// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { DatapathLab, hostIp4, hostIp6, internet4, internet6, port } from './datapath-lab.ts'
import { nodes, putServices } from './datapath-services.ts'

/** Where the rules of a kube-proxy are left behind, ICMP errors about flows that the host stack never saw are invalid to it, and dropped. They do not meet it. */

let lab: DatapathLab
before(async () => {
  lab = await DatapathLab.create('vi', { v2: true })
  lab.run('host', 'nft add table inet left')
  lab.run('host', 'nft add chain inet left forward { type filter hook forward priority 0 ; }')
  lab.run('host', 'nft add rule inet left forward ct state invalid counter drop')
  await lab.datapath.setNode(nodes.v2, [])
  await putServices(lab.kernel, [
    { name: 'remote', ips: ['10.96.0.10', 'fd00:96::10'], backends: [internet4, internet6] },
    { name: 'local', ips: ['10.96.0.11', 'fd00:96::11'], backends: ['10.0.2.12', 'fd00:2::12'], local: true, nodePort: 30020 },
    { name: 'self', ips: ['10.96.0.13', 'fd00:96::13'], backends: ['10.0.1.11', 'fd00:1::11'], local: true },
  ])
  for (const [n, eni] of [
    [11, 1],
    [12, 2],
  ] as const)
    await lab.datapath.setup(lab.pod(n, { eni, families: [4, 6] }))
})
after(() => lab.close())

const script = fileURLToPath(new URL('udp-refused.ts', import.meta.url))

// No probe is started: nobody listens anywhere.
for (const [what, from, hosts, at = port] of [
  ['another machine', 'pod11', [internet4, internet6]],
  ['another pod of the node', 'pod11', ['10.0.2.12', 'fd00:2::12']],
  ['a Service with a backend elsewhere', 'pod11', ['10.96.0.10', 'fd00:96::10']],
  ['a Service with a backend on this node', 'pod11', ['10.96.0.11', 'fd00:96::11']],
  ['a Service of which it is the backend itself', 'pod11', ['10.96.0.13', 'fd00:96::13']],
  ['a pod, from elsewhere', 'gw1', ['10.0.1.11', 'fd00:1::11']],
  ['a pod by a port of its node, from elsewhere', 'gw0', [hostIp4, hostIp6], 30020],
] as const)
  for (const to of hosts)
    test(`whoever asks ${what} is told that nobody listens: ${to}`, async () => {
      assert.equal(lab.run(from, `${process.execPath} ${script} ${to} ${at}`).trim(), 'ECONNREFUSED')
      assert.deepEqual(await lab.counted('drops'), {})
      assert.match(lab.run('host', 'nft list table inet left'), /counter packets 0 /)
    })
