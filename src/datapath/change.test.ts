// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Attachment } from '#datapath/attachment.ts'
import { concernsUs, type Known, namedBy } from '#datapath/change.ts'
import { parseIfName, parseNetnsPath } from '#kernel/names.ts'
import type { KernelEvent } from '#kernel/port.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIp, parseIpv4 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'

const [live, dead] = [parseIfName('cali00000000001'), parseIfName('cali00000000002')]
const eni = parseMac('00:16:3e:00:00:01')
const pod: Attachment = {
  kind: 'shared-eni',
  containerId: 'c',
  netns: parseNetnsPath('/run/netns/c'),
  ifName: parseIfName('eth0'),
  hostIfName: live,
  mtu: 1500,
  v4: { address: parseIpv4('10.0.0.1'), subnet: parseCidr('10.0.0.0/24'), gateway: parseIpv4('10.0.0.253') },
  eni: { eniId: 'eni-1', mac: eni },
  defaultRoute: true,
  extraRoutes: [],
}
const known: Known = { enis: new Map([[7, eni]]), live: new Map([[live, pod]]), hostSet: false }
const link = (name: string, index: number, up: boolean, removed = false, alias?: string): KernelEvent => ({
  kind: 'link',
  removed,
  link: { name: parseIfName(name), index, up, mtu: 1500, ...(alias === undefined ? {} : { alias }) },
})
const addr = (ifIndex: number, address: string, scope: 'global' | 'link'): KernelEvent => ({
  kind: 'addr',
  removed: true,
  addr: { ifIndex, address: parseIp(address), prefix: 32, scope, secondary: false },
})
const route = (table: number, dst: string): KernelEvent => ({
  kind: 'route',
  removed: true,
  route: { table, dst: parseCidr(dst), ifIndex: 3, scope: 'link', onlink: false, priority: 0 },
})
const rule = (priority: number, prefix: Partial<Record<'from' | 'to', string>> = {}): KernelEvent => ({
  kind: 'rule',
  removed: true,
  rule: { family: 4, priority, table: 254, ...Object.fromEntries(Object.entries(prefix).map(([key, text]) => [key, parseCidr(text)])) },
})

test('which changes concern us', () => {
  const table: readonly [what: string, KernelEvent, boolean][] = [
    ['anything may be lost', { kind: 'lost' }, true],
    ["a live pod's device went", link(live, 20, false, true, 'c'), true],
    ["a live pod's device went down", link(live, 20, false, false, 'c'), true],
    ["a live pod's device came up", link(live, 20, true, false, 'c'), false],
    ['a device that is being made', link(live, 20, false), false],
    ['a device that is being reaped', link(dead, 21, false, true, 'c'), false],
    ['an ENI changed', link('eth1', 7, true), true],
    ['a device came', link('eth9', 9, false), true],
    ['a device that was never ours went', link('eth9', 9, false, true), false],
    ["an ENI's address", addr(7, '192.0.2.10', 'global'), true],
    ["an ENI's own IPv6", addr(7, 'fe80::5', 'link'), false],
    ["the pods' gateway address", addr(20, '169.254.1.1', 'global'), true],
    ['an address elsewhere', addr(2, '192.0.2.10', 'global'), false],
    ['a host route', route(254, '10.0.0.1/32'), true],
    ['a subnet route', route(254, '10.0.0.0/24'), false],
    ["an ENI's table", route(1007, '0.0.0.0/0'), true],
    ['a table of nobody', route(1008, '0.0.0.0/0'), false],
    ['rule to', rule(512), true],
    ['rule from', rule(2048), true],
    ['another rule', rule(100), false],
  ]
  for (const [what, event, concerns] of table) assert.equal(concernsUs(event, known), concerns, what)
  const withPrograms = { ...known, hostSet: true }
  assert.equal(concernsUs(addr(2, '192.0.2.10', 'global'), withPrograms), true, 'the host set names it')
  assert.equal(concernsUs(addr(2, 'fe80::5', 'link'), withPrograms), false)
})

test('which pod a change names: its own, or one of the ENI', () => {
  const table: readonly [what: string, KernelEvent, boolean][] = [
    ['its host end', link(live, 20, false, true, 'c'), true],
    ['its route', route(254, '10.0.0.1/32'), true],
    ["another pod's route", route(254, '10.0.0.2/32'), false],
    ['its rules', rule(512, { to: '10.0.0.1/32' }), true],
    ['the other one', rule(2048, { from: '10.0.0.1/32' }), true],
    ["another pod's rule", rule(512, { to: '10.0.0.2/32' }), false],
    ['its ENI', link('eth1', 7, false), true],
    ["its ENI's table", route(1007, '0.0.0.0/0'), true],
    ["its ENI's address", addr(7, '192.0.2.10', 'global'), true],
    ['a device that came', link('eth9', 9, false), false],
    ['anything', { kind: 'lost' }, false],
  ]
  for (const [what, event, named] of table) assert.deepEqual(namedBy(event, known), named ? [live] : [], what)
})
