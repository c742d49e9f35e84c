// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { programsOf } from '#daemon/programs.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { applyAll } from '#kernel/host.ts'
import { until } from '../support/until.ts'
import { DatapathLab, internet4, type Probe } from './datapath-lab.ts'
import { nodes, putServices } from './datapath-services.ts'

/** One pod opens more connections than a pod may have: it is refused, what it has goes on, and so do the others. */

const limit = 20
let lab: DatapathLab
let greedy: Probe
let modest: Probe
before(async () => {
  lab = await DatapathLab.create('limit', { v2: true })
  await lab.datapath.setNode({ ...nodes.v2, flowLimit: limit }, [])
  await putServices(lab.kernel, [{ name: 'remote', ips: ['10.96.0.10'], backends: [internet4] }])
  for (const n of [11, 12]) await lab.datapath.setup(lab.pod(n))
  await lab.probe('gw1')
  ;[greedy, modest] = [await lab.probe('pod11'), await lab.probe('pod12')]
  assert.equal(await greedy.beat('tcp', '10.96.0.10', 1), 'ok')
})
after(() => lab.close())

const dropped = async () => (await lab.counted('drops'))['flow-limit'] ?? 0

function sendsTo(ports: number): void {
  const script = `for((i=1;i<=${ports};i++));do(echo>/dev/udp/198.51.100.99/$i)2>/dev/null;done`
  lab.run('pod11', ['bash', '-c', script.replaceAll(' ', '\t')].join(' '))
}

test('a pod has so many connections and no more, and what it has goes on', async () => {
  sendsTo(50)
  await until(async () => (await dropped()) >= 50 + 1 - limit, 'all have passed the programs')
  assert.equal(await dropped(), 50 + 1 - limit)
  const { sent = 0 } = Object.values(await greedy.beats())[0] ?? {}
  await until(async () => (Object.values(await greedy.beats())[0]?.echoed ?? 0) > sent, 'the old connection goes on')
})

test('others have theirs', async () => {
  assert.equal(await modest.beat('tcp', '10.96.0.10', 1), 'ok')
  assert.equal(await modest.beat('udp', '10.96.0.10', 1), 'ok')
})

test('who was refused is told, and a count that is wrong is put right', async () => {
  const { value } = maps.endpoint_flows
  const counts = async () => {
    const entries = await lab.kernel.mapEntries('endpoint_flows')
    return entries.map(e => ({ key: Buffer.from(e.key).toString('hex'), ...value.decode(e.value) }))
  }
  const full = (await counts()).find(c => c.refused > 0n) ?? assert.fail('nobody was refused')
  assert.equal(full.live, limit)
  const wrong = value.encode({ ...full, live: 1000 }).toString('hex')
  await applyAll(lab.kernel, [{ op: 'map-put', ns: 'host', map: 'endpoint_flows', key: full.key, value: wrong }])
  const { refused } = await programsOf(lab.kernel).sample()
  assert.deepEqual([...refused], [['10.0.1.11', 50 + 1 - limit]])
  assert.deepEqual(
    (await counts()).find(c => c.key === full.key),
    full,
  )
})

test('without a limit it opens what it likes', async () => {
  await lab.datapath.setNode(nodes.v2, [])
  const before = await dropped()
  sendsTo(60)
  assert.equal(await dropped(), before)
})
