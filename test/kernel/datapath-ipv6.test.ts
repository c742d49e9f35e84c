// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { noneWaits, slowDetection } from '../support/duplicate-detection.ts'
import { DatapathLab, hostIp4, internet4, internet6, type LabOptions, type Probe } from './datapath-lab.ts'

/** What IPv6 needs beyond IPv4: a gateway that several ENIs share, no duplicate detection, packet-too-big, nodes without IPv6. */

const labs: DatapathLab[] = []
async function makeLab(name: string, options?: LabOptions): Promise<DatapathLab> {
  const lab = await DatapathLab.create(name, options)
  labs.push(lab)
  return lab
}
after(() => Promise.all(labs.map(lab => lab.close())))

let lab: DatapathLab
let gateway2: Probe
before(async () => {
  lab = await makeLab('v')
  // As on a node that is in the vSwitch of its ENIs.
  lab.run('host', 'ip -6 route add fd00:1::fd/128 dev eth0')
  await lab.probe('gw1')
  gateway2 = await lab.probe('gw2')
  await lab.probe('gw3')
})

/** Sets a pod up and asks the internet at once: duplicate detection, on the ENI or the veth, would hold the question back for ever. */
async function asksAtOnce(of: DatapathLab, a: SharedEniAttachment, ns: string): Promise<string> {
  const namespaces = ['host', ns].map(name => `${of.prefix}-${name}`)
  const pod = await of.probe(ns)
  slowDetection(...namespaces)
  await of.datapath.setup(a)
  const answer = await pod.ask(internet6)
  for (const name of namespaces) await noneWaits(name)
  return answer
}

test('the first pod on a fresh ENI talks at once, and no address waits for duplicate detection', async () => {
  assert.equal(await asksAtOnce(lab, lab.pod(11, { families: [6] }), 'pod11'), 'gw1 fd00:1::11')
})

test('two ENIs of one vSwitch share its gateway: each keeps its own way, and the node keeps its own', async () => {
  const [a, b] = [lab.pod(12, { eni: 1, families: [4, 6] }), lab.pod(13, { eni: 3, families: [4, 6] })]
  const podB = await lab.probe('pod13')
  await lab.datapath.setup(a)
  await lab.datapath.setup(b)
  assert.deepEqual(await lab.datapath.differing([a, b]), [])
  assert.deepEqual([await lab.datapath.diff(a), await lab.datapath.diff(b)], [[], []])
  const podA = await lab.probe('pod12')
  assert.deepEqual([await podA.ask(internet6), await podB.ask(internet6)], ['gw1 fd00:1::12', 'gw3 fd00:1::13'])
  assert.deepEqual([await podA.ask(internet4), await podB.ask(internet4)], ['gw1 10.0.1.12', 'gw3 10.0.1.13'])
  assert.equal(await podA.ask('fd00:1::13'), 'pod13 fd00:1::12')
  const ways = lab.run('host', 'ip -6 route show fd00:1::fd')
  assert.deepEqual([...ways.matchAll(/dev (eth\d)/g)].map(m => m[1]).toSorted(), ['eth0', 'eth1', 'eth3'])
})

test('what is too big for a pod is refused with a packet-too-big, after which it is sent in fragments', async () => {
  const [wide, narrow] = [lab.pod(14, { families: [6] }), lab.pod(15, { eni: 2, families: [6], more: { mtu: 1400 } })]
  await lab.datapath.setup(wide)
  await lab.datapath.setup(narrow)
  const pod = await lab.probe('pod14')
  await lab.probe('pod15')
  assert.equal(await pod.askAtLength('fd00:2::15', 1440), 'pod15 fd00:1::14')
  assert.match(lab.run('pod14', 'ip -6 route get fd00:2::15'), / mtu 1400 /)
  assert.equal(await gateway2.askAtLength('fd00:2::15', 1440), 'pod15 fd00:2::fd', 'from outside the node')
})

test('an IPv6 pod on a node that has IPv4 only: out at once, and the node reaches it', async () => {
  const other = await makeLab('w', { hostV6: false })
  await other.probe('gw2')
  const a = other.pod(21, { eni: 2, families: [6] })
  assert.equal(await asksAtOnce(other, a, 'pod21'), 'gw2 fd00:2::21')
  const host = await other.probe('host')
  await other.probe('gw0')
  assert.match(await host.ask('fd00:2::21'), /^pod21 fe80:/, "from the host end's link-local address")
  assert.equal(await host.ask(internet4), `gw0 ${hostIp4}`)
  assert.deepEqual(await other.datapath.diff(a), [])

  // A configuration agent that gives the pods' addresses to the ENI would have the node take their packets for its own.
  other.run('host', 'ip addr add fd00:2::21/128 dev eth2 nodad')
  assert.deepEqual(
    (await other.datapath.setup(a)).ops.map(o => o.op),
    ['addr-del'],
  )
})
