// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readdirSync, readlinkSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { parseIfName } from '#kernel/names.ts'
import type { NsQuery, NsState } from '#kernel/state.ts'
import { parseIp } from '#net/ip.ts'
import { DatapathLab } from './datapath-lab.ts'

let lab: DatapathLab
before(async () => {
  lab = await DatapathLab.create('o')
})
after(() => lab.close())

const eth1 = parseIfName('eth1')

async function observe(more: Partial<NsQuery>): Promise<NsState> {
  const [state] = await lab.kernel.observe([{ ns: 'host', links: [eth1], families: [4, 6], ...more }])
  assert.ok(state)
  return state
}

test('settings of a device are told as their files tell them, whether the device was asked for or not', async () => {
  const settings = {
    'ipv4/forwarding': '1',
    'ipv4/rp_filter': '2',
    'ipv6/forwarding': '1',
    'ipv6/accept_ra': '2',
    'ipv6/accept_dad': '-1',
    'ipv6/disable_ipv6': '1',
  }
  const values = Object.fromEntries(Object.entries(settings).map(([key, value]) => [`net/${key.replace('/', '/conf/eth1/')}`, value]))
  const sysctls = [...Object.keys(values), 'net/ipv6/conf/eth9/accept_ra', 'net/ipv4/conf/eth1/no_such_key']
  for (const key of sysctls.slice(0, 6)) assert.notEqual((await observe({ sysctls })).sysctls[key], values[key], key)
  lab.run(
    'host',
    `sysctl -w ${Object.entries(values)
      .map(([key, value]) => `${key}=${value}`)
      .join(' ')}`,
  )
  assert.deepEqual((await observe({ sysctls })).sysctls, values)
  for (const links of [[], 'all'] as const) assert.deepEqual((await observe({ sysctls, links })).sysctls, values)
  // A device of less than 1280 bytes has no IPv6.
  lab.run('host', 'ip link set eth1 mtu 1200')
  const four = Object.fromEntries(Object.entries(values).filter(([key]) => key.startsWith('net/ipv4')))
  assert.deepEqual((await observe({ sysctls })).sysctls, four)
})

test('settings of the namespace are read anew at every look, from files that are opened once', async () => {
  const sysctls = ['net/ipv4/conf/all/rp_filter', 'net/ipv6/conf/default/accept_ra']
  const open = () => readdirSync('/proc/self/fd').filter(fd => sysctls.some(key => target(fd).endsWith(`/sys/${key}`)))
  for (const value of ['0', '1', '2']) {
    lab.run('host', `sysctl -w ${sysctls.map(key => `${key}=${value}`).join(' ')}`)
    assert.deepEqual(Object.values((await observe({ sysctls })).sysctls), [value, value])
    assert.equal(open().length, 2)
  }
})

test('neighbours are asked for by address', async () => {
  lab.run('host', 'ip link set eth1 mtu 1500')
  const known = ['192.0.2.50', 'fe80::50']
  for (const ip of known) lab.run('host', `ip neigh replace ${ip} lladdr 00:16:3e:00:00:50 dev eth1 nud permanent`)
  lab.run('host', 'ip neigh replace 192.0.2.51 lladdr 00:16:3e:00:00:51 dev eth0 nud permanent')
  const { neighs } = await observe({ neighs: [...known, '192.0.2.51', 'fe80::52'].map(parseIp) })
  assert.deepEqual(
    neighs.map(n => [n.ip, n.mac, n.permanent]),
    known.map(ip => [ip, '00:16:3e:00:00:50', true]),
  )
})

/** What a descriptor of this process is; empty when it is closed meanwhile. */
function target(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return ''
  }
}
