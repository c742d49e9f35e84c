// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { SetupResult } from '#datapath/port.ts'
import { DatapathLab, hostIp4, internet4, internet6, type Probe, v2 } from './datapath-lab.ts'

/** A pod cannot speak as somebody else: neither to the world, nor to another pod, nor to the node. */

let lab: DatapathLab
let pod: Probe
let own: SetupResult
before(async () => {
  lab = await DatapathLab.create('vs', { v2: true })
  await lab.datapath.setNode(v2, [])
  await lab.datapath.setup(lab.pod(12, { eni: 2, families: [4, 6] }))
  own = await lab.datapath.setup(lab.pod(11, { eni: 1, families: [4, 6] }))
  for (const ns of ['host', 'gw1', 'pod12']) await lab.probe(ns)
  pod = await lab.probe('pod11')
})
after(() => lab.close())

async function dropped(reason: string): Promise<number> {
  return (await lab.counted('drops'))[reason] ?? 0
}

const sources = [
  [4, '10.0.2.12', 'of another pod'],
  [4, '203.0.113.66', 'of nobody'],
  [6, 'fd00:2::12', 'of another pod'],
  [6, '2001:db8:bad::1', 'of nobody'],
] as const
for (const [family, source, whose] of sources) {
  test(`an IPv${family} source ${whose} is dropped and counted, whatever the destination`, async () => {
    const targets = family === 4 ? [internet4, '10.0.2.12', hostIp4] : [internet6, 'fd00:2::12', '2001:db8:1::10']
    lab.run(
      'pod11',
      `ip addr add ${source}/${family === 4 ? '32' : '128 nodad'} dev eth0`.replace('128 nodad dev eth0', '128 dev eth0 nodad'),
    )
    try {
      for (const to of targets.filter(t => t !== source)) {
        const before = await dropped('spoofed-source')
        assert.equal(await pod.say({ cmd: 'ask', host: to, port: 7777, timeoutMs: 150, source }), 'timeout', to)
        assert.ok((await dropped('spoofed-source')) > before, to)
      }
    } finally {
      lab.run('pod11', `ip addr del ${source}/${family === 4 ? 32 : 128} dev eth0`)
    }
  })
}

test('a MAC of somebody else is dropped and counted in both families; its own again, the pod is heard', async () => {
  /** The kernel forgets a device's neighbours when its address changes. */
  const pretend = (mac: string) => {
    lab.run('pod11', `ip link set eth0 address ${mac}`)
    for (const ip of ['169.254.1.1', 'fe80::1']) lab.run('pod11', `ip neigh replace ${ip} lladdr ${own.hostMac} dev eth0 nud permanent`)
  }
  pretend('02:bb:bb:bb:bb:bb')
  for (const to of [internet4, internet6]) {
    const before = await dropped('spoofed-mac')
    assert.equal(await pod.ask(to, 150), 'timeout')
    assert.ok((await dropped('spoofed-mac')) > before, to)
  }
  pretend(own.podMac)
  assert.deepEqual([await pod.ask(internet4), await pod.ask(internet6)], ['gw1 10.0.1.11', 'gw1 fd00:1::11'])
})

test('without the guard, in a node that is switched off, nothing is dropped', async () => {
  const before = await lab.counted('drops')
  await lab.kernel.apply([{ op: 'map-put', ns: 'host', map: 'control', key: '00000000', value: '0000000000000000' }])
  lab.run('pod11', 'ip addr add 203.0.113.66/32 dev eth0')
  await pod.say({ cmd: 'ask', host: internet4, port: 7777, timeoutMs: 100, source: '203.0.113.66' })
  assert.deepEqual(await lab.counted('drops'), before)
})
