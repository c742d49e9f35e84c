// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eniAmong, formatMark, formerName, homeName, parseMark } from '#datapath/eni-home.ts'
import { parseIfName } from '#kernel/names.ts'
import type { LinkState } from '#kernel/state.ts'
import { parseMac } from '#net/mac.ts'

const mac = parseMac('00:16:3e:00:00:01')
const link = (name: string, index: number, more: Partial<LinkState> = {}): LinkState => ({
  name: parseIfName(name),
  index,
  mtu: 1500,
  up: true,
  mac,
  ...more,
})

test('a mark is read as it was written; any other alias is none', () => {
  const mark = { owner: 'a/b', home: parseIfName('eth1') }
  assert.deepEqual(parseMark(formatMark(mark)), mark)
  for (const alias of [
    undefined,
    '',
    'c5/eth1',
    ...['c5', '/eth1', 'c5/', 'c5/two words', 'c5/sixteen-letters!'].map(text => `terway:${text}`),
  ])
    assert.equal(parseMark(alias), undefined)
})

test('the ENI is the device of its name, or the one that is on no other, or the first', () => {
  const vlan = link('eth0.5', 2, { peerIndex: 7 })
  const [eni, late] = [link('eth1', 7, { peerIndex: 3, peerNsid: 1 }), link('bond0', 9)]
  assert.equal(eniAmong([late, vlan, eni], mac), eni)
  assert.equal(eniAmong([late, vlan, eni], mac, parseIfName('bond0')), late)
  assert.equal(eniAmong([vlan], mac), vlan)
  assert.equal(eniAmong([link('cali00000000001', 1), { ...eni, mac: parseMac('00:16:3e:00:00:02') }], mac), undefined)
})

test('home is what the mark says, unless that name is taken or a host end of a pod', () => {
  const at = (alias: string, taken: string[] = []) =>
    homeName(
      link('eth0', 7, { alias: `terway:${alias}` }),
      mac,
      taken.map((name, i) => link(name, i)),
    )
  assert.equal(at('c5/eth1'), 'eth1')
  for (const other of [at('c5/eth1', ['eth1']), at('c5'), at('c5/cali0d7763386da')]) assert.equal(other, 'eni00163e000001')
  assert.equal(formerName(link('dev7', 7), []), undefined)
})
