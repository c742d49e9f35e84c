// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { block, hostReason } from '#kernel/bpf/words.ts'
import { until } from '../support/until.ts'
import { DatapathLab, internet4, type Probe, v2 } from './datapath-lab.ts'

/** Damage to what a pod and the node have for the programs, and the repair: which operations, under a living connection. */

let lab: DatapathLab
let a: SharedEniAttachment
let pod: Probe
before(async () => {
  lab = await DatapathLab.create('vr', { v2: true })
  await lab.datapath.setNode(v2, [])
  a = lab.pod(21, { families: [4, 6] })
  await lab.datapath.setup(a)
  await lab.probe('gw1')
  pod = await lab.probe('pod21')
  assert.equal(await pod.beat('tcp', internet4, 5), 'ok')
})
after(() => lab.close())

async function goesOn(): Promise<void> {
  const before = await pod.beats()
  await until(async () => {
    const now = Object.entries(await pod.beats())
    return now.every(([row, { echoed, ended }]) => ended === '' && echoed > (before[row]?.sent ?? 0))
  }, 'the connection goes on')
}

async function deleteEntry(map: 'endpoints' | 'addresses', which: number): Promise<void> {
  const key = (await lab.kernel.mapEntries(map))[which]?.key ?? assert.fail(`no entry ${which} in ${map}`)
  await lab.kernel.apply([{ op: 'map-del', ns: 'host', map, key: Buffer.from(key).toString('hex') }])
}

type Row = readonly [what: string, damage: () => void | Promise<void>, repair: readonly string[]]
const host = (command: string) => lab.run('host', command)
const matrix: readonly Row[] = [
  ['the hook of the host end', () => void host(`tc qdisc del dev ${a.hostIfName} clsact`), ['block-join', 'filter-set', 'filter-set']],
  ['the hook of the ENI', () => void host('tc qdisc del dev eth1 clsact'), ['block-join', 'filter-set']],
  ['the filter of what pods send', () => void host(`tc filter del block ${block.podIn}`), ['filter-set']],
  ['the filter of what pods are sent', () => void host(`tc filter del block ${block.podOut}`), ['filter-set']],
  ['the filter of ENIs', () => void host(`tc filter del block ${block.eniIn}`), ['filter-set']],
  ['the endpoint', () => deleteEntry('endpoints', 0), ['map-put']],
  ['an address', () => deleteEntry('addresses', 1), ['map-put']],
  [
    'an address that leads elsewhere',
    async () => {
      const [entry] = await lab.kernel.mapEntries('addresses')
      const key = Buffer.from(entry?.key ?? assert.fail('no address')).toString('hex')
      const value = maps.addresses.value.encode({ endpoint: 1, incarnation: 1, state: 1 }).toString('hex')
      await lab.kernel.apply([{ op: 'map-put', ns: 'host', map: 'addresses', key, value }])
    },
    ['map-put'],
  ],
]
for (const [what, damage, repair] of matrix) {
  test(`damage to ${what} is seen by CHECK and repaired, exactly it, under a living connection`, async () => {
    await goesOn()
    assert.deepEqual(await lab.datapath.diff(a), [])
    await damage()
    await goesOn()
    assert.deepEqual(
      (await lab.datapath.diff(a)).map(o => o.op),
      repair,
    )
    assert.deepEqual(await lab.datapath.differing([a]), [a])
    assert.deepEqual(
      (await lab.datapath.setup(a)).ops.map(o => o.op),
      repair,
    )
    assert.deepEqual(await lab.datapath.differing([a]), [])
    await goesOn()
  })
}

async function hostSet(): Promise<Map<string | undefined, number>> {
  const entries = await lab.kernel.mapEntries('host_set')
  return new Map(entries.map(({ key, value }) => [maps.host_set.key.decode(key).ip, maps.host_set.value.decode(value).why]))
}

test('the addresses of the node come and go, and the host set with them; what somebody put there goes', async () => {
  let told = 0
  lab.datapath.onChange(() => void told++)
  await until(() => told > 0, 'the watch is on')
  assert.equal((await hostSet()).get('192.0.2.10'), hostReason.node)
  const before = told
  for (const address of ['192.0.2.77/24', '2001:db8:1::77/64']) host(`ip addr add ${address} dev eth0`)
  await until(() => told > before, 'the change is told')
  assert.deepEqual(await lab.datapath.differing([a]), [])
  const grown = await hostSet()
  assert.deepEqual([grown.get('192.0.2.77'), grown.get('2001:db8:1::77')], [hostReason.node, hostReason.node])
  for (const address of ['192.0.2.77/24', '2001:db8:1::77/64']) host(`ip addr del ${address} dev eth0`)
  const key = maps.host_set.key.encode({ prefixLength: 104, ip: '10.0.0.0' as never }).toString('hex')
  await lab.kernel.apply([{ op: 'map-put', ns: 'host', map: 'host_set', key, value: '04000000' }])
  await lab.datapath.differing([a])
  const shrunk = await hostSet()
  for (const ip of ['192.0.2.77', '2001:db8:1::77', '10.0.0.0']) assert.equal(shrunk.get(ip), undefined, ip)
  await goesOn()
})

test('another mode is put right, and 0 is left, since it is an operator who switches off', async () => {
  const set = (value: string) => lab.kernel.apply([{ op: 'map-put', ns: 'host', map: 'control', key: '00000000', value }])
  const get = async () => Buffer.from((await lab.kernel.mapEntries('control'))[0]?.value ?? []).toString('hex')
  for (const [damaged, wanted] of [
    ['0100000000000000', '0700000000000000'],
    ['0000000000000000', '0000000000000000'],
  ] as const) {
    await set(damaged)
    await lab.datapath.differing([a])
    assert.equal(await get(), wanted)
    await goesOn()
  }
  await set('0700000000000000')
})

test("a host end that somebody else's qdisc sits on is left to the host stack, which others go by", async () => {
  const [b, other] = [lab.pod(22, { families: [4, 6] }), await lab.probe('host')]
  await lab.datapath.setup(b)
  await lab.probe('pod22')
  host(`tc qdisc del dev ${b.hostIfName} clsact`)
  host(`tc qdisc add dev ${b.hostIfName} clsact`)
  assert.deepEqual(
    (await lab.datapath.setup(b)).ops.map(o => o.op),
    ['map-put', 'map-put'],
  )
  assert.deepEqual(await lab.datapath.diff(b), [])
  assert.deepEqual([await pod.ask('10.0.1.22'), await pod.stream('fd00:1::22')], ['pod22 10.0.1.21', 'ok'])
  assert.match(await other.ask('10.0.1.22'), /^pod22 /)
  assert.match(host(`tc qdisc show dev ${b.hostIfName}`), /clsact/)
  await lab.datapath.withdraw(b)
  await lab.datapath.reap([b.hostIfName])
})
