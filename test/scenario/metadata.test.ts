// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeMetadata } from '#cloud/metadata.ts'
import { regionOf } from '#controller/region.ts'
import { listenMetadata } from '#sim/metadata.ts'
import { World } from './world.ts'

/** The machine's metadata service, as the instance sees it. */
async function metadataOf(w: World, instance: string) {
  const { port } = await listenMetadata(w.simulator, { host: '127.0.0.1', port: 0, loopbackAs: instance })
  return makeMetadata(w.clock, `127.0.0.1:${port}`, w.wire.as('metadata'))
}

for (const close of [false, true]) {
  test(`the metadata service is down when the controller starts (${close ? 'it hangs up' : 'it answers 503'})`, async () => {
    await using w = await World.make()
    const metadata = await metadataOf(w, w.instance('controlplane'))
    w.simulator.addFault({ kind: 'metadata-outage', close })
    let region = ''
    void regionOf('', metadata, w.clock, w.logger).then(found => {
      region = found
    })
    await w.until('it is told', () =>
      w.log.some(line => /regionID is empty and the metadata service does not answer.*set regionID/.test(line)),
    )
    await w.clock.advance(600_000)
    assert.ok(w.wire.sent.length < 600, `${w.wire.sent.length} calls in 10 minutes`)
    assert.equal(region, '')
    w.simulator.clearFaults()
    await w.until('the region is known', () => region === 'cn-lab', 20_000)
  })
}

test('the metadata service is down when terwayd starts in a zone that eni_conf does not list', async () => {
  await using w = await World.make()
  w.configure({ vswitches: {} })
  w.controlplane()
  const outage = w.simulator.addFault({ kind: 'metadata-outage' })
  const instance = w.instance('node-1')
  const metadata = await metadataOf(w, instance)
  const primaryVSwitch = async () => {
    try {
      const mac = await metadata.get('mac')
      return mac === undefined ? undefined : await metadata.get(`network/interfaces/macs/${mac}/vswitch-id`)
    } catch {
      return undefined
    }
  }
  const node = await w.join('node-1', 'ecs.lab.medium', instance, primaryVSwitch)
  node.add('pod-1')
  await w.until('it is told', () =>
    w.warnings('node-1').some(m => /vswitches has no entry for zone cn-lab-a, and the vSwitch of the primary ENI is not known/.test(m)),
  )
  await w.clock.advance(60_000)
  assert.deepEqual(w.enis(), [])
  w.simulator.clearFaults(outage)
  await w.atRest()
  assert.deepEqual([...new Set(w.enis().map(e => e.vSwitchId))], ['vsw-nodes'])
})
