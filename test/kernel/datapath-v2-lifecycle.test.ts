// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { until } from '../support/until.ts'
import { DatapathLab, internet4, internet6, type Probe, v2 } from './datapath-lab.ts'

/** Processes and pods come and go; the programs and what they know follow, and traffic does not notice. */

let lab: DatapathLab
before(async () => {
  lab = await DatapathLab.create('vl', { v2: true })
  await lab.datapath.setNode(v2, [])
  await lab.probe('gw1')
})
after(() => lab.close())
afterEach(async () =>
  assert.deepEqual(await entries(), { endpoints: 0, addresses: 0, endpoint_counters: 0 }, 'the test took all its pods away'),
)

async function entries() {
  const count = async (map: 'endpoints' | 'addresses' | 'endpoint_counters') => (await lab.kernel.mapEntries(map)).length
  return { endpoints: await count('endpoints'), addresses: await count('addresses'), endpoint_counters: await count('endpoint_counters') }
}

async function remove(...pods: SharedEniAttachment[]): Promise<void> {
  await Promise.all(pods.map(a => lab.datapath.withdraw(a)))
  await lab.datapath.reap(pods.map(a => a.hostIfName))
}

async function goesOn(pod: Probe): Promise<void> {
  const before = await pod.beats()
  await until(async () => {
    const now = Object.entries(await pod.beats())
    for (const [row, { ended }] of now) assert.equal(ended, '', row)
    return now.every(([row, { echoed }]) => echoed > (before[row]?.sent ?? 0))
  }, 'every connection goes on')
}

test('a new process finds everything as it left it: it loads nothing, changes nothing, and traffic goes on', async () => {
  const a = lab.pod(11, { families: [4, 6] })
  await lab.datapath.setup(a)
  const pod = await lab.probe('pod11')
  for (const to of [internet4, internet6]) assert.equal(await pod.beat('tcp', to, 1), 'ok')
  await goesOn(pod)
  const ids = () => lab.run('host', `tc filter show block ${0x7e770001}`)
  const [before, pins] = [ids(), lab.pins()]
  assert.match(before, /pod_in\.[0-9a-f]{12}/)
  await lab.afterRestart(async (datapath, kernel) => {
    const { created } = await kernel.loadPrograms()
    assert.deepEqual(created, [])
    await datapath.setNode({ ...v2, learn: true }, [a])
    assert.deepEqual([await datapath.differing([a]), await datapath.diff(a), (await datapath.setup(a)).ops], [[], [], []])
    assert.equal((await lab.counted('paths')).podViaHost, undefined, 'it does not begin to learn')
  })
  assert.deepEqual([ids(), lab.pins()], [before, pins])
  await goesOn(pod)
  await remove(a)
  pod.close()
})

test('the last pod leaves nothing but pins', async () => {
  const empty = await lab.datapath.inventory()
  const pods = [lab.pod(21, { families: [4, 6] }), lab.pod(22, { eni: 2, families: [4] }), lab.pod(23, { eni: 2, families: [6] })]
  for (const a of pods) await lab.datapath.setup(a)
  const { endpoints, addresses } = await entries()
  assert.deepEqual([endpoints, addresses], [3, 4])
  await remove(...pods)
  assert.deepEqual(await lab.datapath.inventory(), empty)
  assert.ok(lab.pins().some(pin => pin.endsWith('/pod_in')))
})

test('killed after any operation of an ADD that concerns the programs: the next process takes away what is there, or completes it', async () => {
  const a = lab.pod(31, { families: [4, 6] })
  const { ops } = await lab.datapath.setup(a)
  await remove(a)
  const steps = ops.flatMap(({ op }, i) => (['block-join', 'map-put', 'filter-set'].includes(op) ? [i + 1] : []))
  const told = ops.flatMap(op => (op.op === 'map-put' ? [`${op.map} by the number in its ${op.numberOf?.in}`] : []))
  assert.deepEqual(told, ['endpoints by the number in its key', ...[4, 6].map(() => 'addresses by the number in its value')])
  for (const [i, n] of steps.entries()) {
    assert.equal((await lab.kernel.apply(ops.slice(0, n))).failed, undefined)
    await lab.afterRestart(async datapath => {
      await datapath.setNode(v2, [])
      if (i % 2 === 0) {
        await datapath.removeLeftovers(await datapath.inventory())
      } else {
        await datapath.setup(a)
        assert.deepEqual(await datapath.diff(a), [], `completed after ${n}`)
        await datapath.withdraw(a)
        await datapath.reap([a.hostIfName])
      }
      assert.deepEqual(await entries(), { endpoints: 0, addresses: 0, endpoint_counters: 0 }, `clean after ${n}`)
    })
  }
})

test('a pod whose namespace took its device along is withdrawn whole, by this process or by the next', async () => {
  for (const n of [41, 42]) {
    const a = lab.pod(n, { families: [4, 6] })
    await lab.datapath.setup(a)
    lab.removeNetns(`pod${n}`)
    await until(() => !lab.run('host', 'ip link').includes(a.hostIfName), 'the device went')
    assert.equal((await entries()).endpoints, 1)
    if (n === 41) await lab.datapath.withdraw(a)
    else await lab.afterRestart(datapath => datapath.setNode(v2, []))
    assert.deepEqual(await entries(), { endpoints: 0, addresses: 0, endpoint_counters: 0 })
  }
})

test('an address that goes to another sandbox: the late end of the first takes nothing from the second', async () => {
  const first = lab.pod(51)
  const second = { ...lab.pod(52), ...(first.v4 === undefined ? {} : { v4: first.v4 }) }
  await lab.datapath.setup(first)
  await lab.datapath.setup(second)
  await lab.datapath.withdraw(first)
  const [address] = await lab.kernel.mapEntries('addresses')
  const [link] = JSON.parse(lab.run('host', `ip -j link show ${second.hostIfName}`))
  assert.equal(address && maps.addresses.value.decode(address.value).endpoint, link.ifindex)
  await remove(first, second)
})
