// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { parseIpv4, parseIpv6 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import { until } from '../support/until.ts'
import { DatapathLab, internet4, internet6, type Probe, v2 } from './datapath-lab.ts'

/**
 * Pods of MTU 8500 beside ones of 1500. A datagram is sent whole and must not be fragmented under way (Linux sets DF), until a "packet too big" has
 * arrived; from then on its sender fragments it. So an answer to a long question shows that both work, and the sender's route tells the MTU it learned.
 */

let lab: DatapathLab
let wide: SharedEniAttachment
let narrow: SharedEniAttachment
let onUplink: SharedEniAttachment
let podWide: Probe
let podOnUplink: Probe
before(async () => {
  lab = await DatapathLab.create('vm', { v2: true })
  for (const ns of ['gw0', 'gw1', 'gw2']) lab.run(ns, 'ip link set wire mtu 9000')
  // As kube-proxy does: the host stack's conntrack knows no direct flow.
  lab.run('host', 'nft add table inet proxy')
  lab.run('host', 'nft add chain inet proxy forward { type filter hook forward priority 0 ; }')
  lab.run('host', 'nft add rule inet proxy forward ct state invalid drop')
  wide = lab.pod(11, { eni: 1, families: [4, 6], more: { mtu: 8500 } })
  narrow = lab.pod(12, { eni: 2, families: [4, 6] })
  onUplink = podOnTheUplink()
  await lab.datapath.setNode(v2, [])
  for (const a of [wide, narrow, onUplink]) await lab.datapath.setup(a)
  for (const ns of ['gw0', 'gw1', 'pod12']) await lab.probe(ns)
  podWide = await lab.probe('pod11')
  podOnUplink = await lab.probe('pod13')
})
after(() => lab.close())

/** The node's own device keeps its MTU of 1500, whatever its pods have. */
function podOnTheUplink(): SharedEniAttachment {
  const pod = lab.pod(13, { families: [4, 6], more: { mtu: 8500 } })
  const [gateway4, gateway6] = [parseIpv4('192.0.2.1'), parseIpv6('2001:db8:1::1')]
  const [address4, address6] = [parseIpv4('192.0.2.13'), parseIpv6('2001:db8:1::13')]
  const mac = parseMac('00:16:3e:00:00:00')
  for (const ip of [address4, address6]) lab.run('gw0', `ip neigh replace ${ip} lladdr ${mac} dev wire nud permanent`)
  const { v4, v6 } = pod
  if (v4 === undefined || v6 === undefined) return assert.fail('both families')
  return {
    ...pod,
    v4: { ...v4, address: address4, gateway: gateway4 },
    v6: { ...v6, address: address6, gateway: gateway6 },
    eni: { eniId: 'eni-0', mac, gateway4, gateway6 },
  }
}

async function tooLong(): Promise<number> {
  return (await lab.counted('paths')).tooLong ?? 0
}

function learned(ns: string, to: string): string | undefined {
  return /mtu (\d+)/.exec(lab.run(ns, `ip ${to.includes(':') ? '-6 ' : ''}route get ${to}`))?.[1]
}

type Row = readonly [what: string, from: () => Probe, ns: string, to: string, answer: string]
const rows: readonly Row[] = [
  ['to a pod of this node, IPv4', () => podWide, 'pod11', '10.0.2.12', 'pod12 10.0.1.11'],
  ['to a pod of this node, IPv6', () => podWide, 'pod11', 'fd00:2::12', 'pod12 fd00:1::11'],
  ['out of the node, IPv4', () => podOnUplink, 'pod13', internet4, 'gw0 192.0.2.13'],
  ['out of the node, IPv6', () => podOnUplink, 'pod13', internet6, 'gw0 2001:db8:1::13'],
]
for (const [what, from, ns, to, answer] of rows) {
  test(`from MTU 8500 to 1500 ${what}: "packet too big" arrives, and then fragments pass`, async () => {
    const before = await tooLong()
    assert.equal(learned(ns, to), undefined)
    assert.equal(await from().askAtLength(to, 4000), answer)
    assert.equal(learned(ns, to), '1500')
    assert.ok((await tooLong()) > before)
    assert.equal(await from().stream(to, 1_000_000), 'ok', 'TCP finds its segment size')
    assert.deepEqual(await lab.counted('drops'), {})
  })
}

test('what fits goes whole, also above 1500', async () => {
  const before = await tooLong()
  for (const [to, self] of [
    [internet4, '10.0.1.11'],
    [internet6, 'fd00:1::11'],
  ] as const) {
    assert.equal(await podWide.askAtLength(to, 8000), `gw1 ${self}`)
    assert.equal(await podWide.stream(to, 5_000_000), 'ok')
    assert.equal(learned('pod11', to), undefined)
  }
  assert.equal(await tooLong(), before)
})

test('a router far away says that a packet is too big', async () => {
  lab.run('gw1', 'sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1')
  lab.run('gw1', 'ip link add narrow mtu 1400 type veth peer name far mtu 1400')
  for (const dev of ['narrow', 'far']) lab.run('gw1', `ip link set ${dev} up`)
  for (const [route, far] of [
    ['ip route add', '198.51.100.99'],
    ['ip -6 route add', '2001:db8:fffe::99'],
  ] as const) {
    lab.run('gw1', `${route} ${far} dev narrow`)
    await until(async () => {
      assert.equal(await podWide.ask(far, 200, 7, 3000), 'timeout')
      return learned('pod11', far) !== undefined
    }, 'the sender learns it')
    assert.equal(learned('pod11', far), '1400')
  }
})
