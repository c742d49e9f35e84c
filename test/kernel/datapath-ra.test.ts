// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { until } from '../support/until.ts'
import { DatapathLab, internet6 } from './datapath-lab.ts'

/** Router advertisements: the node that lives by them goes on doing so, and nothing of ours takes any. */

const directory = mkdtempSync(join(tmpdir(), 'tdp-ra-'))
process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
const raSend = join(directory, 'ra-send')
const flags = ['-O2', '-static', '-Wall', '-Wextra', '-Werror', '-std=gnu11']
execFileSync('musl-gcc', [...flags, '-o', raSend, join(import.meta.dirname, 'ra-send.c')])

let lab: DatapathLab
beforeEach(async () => {
  lab = await DatapathLab.create('a', { hostV6: false })
  for (const n of [0, 1, 2]) lab.run(`gw${n}`, 'ip addr add fe80::fd/64 dev wire nodad')
})
afterEach(() => lab.close())

/** Advertises `prefix` from one end of a wire until the other end's namespace got it: a device that has just come up may lose the first one. */
async function advertise(from: string, dev: string, prefix: string, to: string): Promise<void> {
  const received = () => Number(/\s(\d+)\s/.exec(lab.run(to, 'nstat -asz Icmp6InRouterAdvertisements').split('\n').at(1) ?? '')?.[1])
  const before = received()
  await until(() => {
    lab.run(from, `${raSend} ${dev} ${prefix}`)
    return received() > before
  }, 'the advertisement arrives')
}

/** The devices that have a default route, or an address, from an advertisement. */
function learned(ns: string): string[] {
  const routes = lab.run(ns, 'ip -6 route show default proto ra').matchAll(/default .*dev (\S+)/g)
  const addresses = lab.run(ns, 'ip -6 -o addr show dynamic').matchAll(/^\d+: (\S+)/gm)
  return [...[...routes].map(m => `default ${m[1]}`), ...[...addresses].map(m => `address ${m[1]}`)].toSorted()
}

const acceptRa = (dev: string) => lab.run('host', `sysctl -n net.ipv6.conf.${dev}.accept_ra`).trim()

test('a node whose default route comes from advertisements keeps it when it begins to forward, and takes the next one', async () => {
  await advertise('gw0', 'wire', '2001:db8:9::', 'host')
  assert.deepEqual(learned('host'), ['address eth0', 'default eth0'])
  await lab.probe('gw1')
  const a = lab.pod(11, { families: [6] })
  await lab.datapath.setup(a)
  assert.deepEqual(learned('host'), ['address eth0', 'default eth0'])
  assert.equal(acceptRa('eth0'), '2')
  lab.run('host', 'ip -6 route del default proto ra')
  await advertise('gw0', 'wire', '2001:db8:9::', 'host')
  assert.deepEqual(learned('host'), ['address eth0', 'default eth0'])
  assert.equal(await (await lab.probe('pod11')).ask(internet6), 'gw1 fd00:1::11')
  assert.deepEqual(await lab.datapath.diff(a), [])
})

test('a node that takes no advertisements goes on taking none', async () => {
  lab.run('host', 'sysctl -w net.ipv6.conf.eth0.accept_ra=0')
  await lab.datapath.setup(lab.pod(12, { families: [6] }))
  assert.equal(acceptRa('eth0'), '0')
  await advertise('gw0', 'wire', '2001:db8:9::', 'host')
  assert.deepEqual(learned('host'), [])
})

test('an ENI that took an advertisement before it was ours is no uplink, and loses what it learned', async () => {
  lab.run('host', 'ip link set eth2 up')
  await advertise('gw2', 'wire', '2001:db8:8::', 'host')
  assert.deepEqual(learned('host'), ['address eth2', 'default eth2'])
  const a = lab.pod(13, { eni: 2, families: [4, 6] })
  await lab.datapath.setup(a)
  assert.deepEqual([acceptRa('eth0'), acceptRa('eth2')], ['2', '0'])
  assert.match(lab.run('host', 'ip -4 addr show dev eth2'), /inet 192\.0\.2\.10\/32/)
  await advertise('gw2', 'wire', '2001:db8:8::', 'host')
  assert.deepEqual(learned('host'), [])
  assert.deepEqual(await lab.datapath.diff(a), [])
})

test('pods take no advertisements, and the node takes none of theirs', async () => {
  const a = lab.pod(14, { families: [6] })
  await lab.datapath.setup(a)
  await advertise('host', a.hostIfName, '2001:db8:7::', 'pod14')
  await advertise('pod14', 'eth0', '2001:db8:7::', 'host')
  assert.deepEqual([learned('pod14'), learned('host')], [[], []])
  assert.match(lab.run('pod14', 'ip -6 route show default'), /^default via fe80::1 dev eth0 metric 1024 onlink/)
})
