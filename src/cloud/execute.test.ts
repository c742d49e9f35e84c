// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloudError } from '#cloud/errors.ts'
import { governed } from '#cloud/execute.ts'
import type { Cloud, DescribeEnis, Eni } from '#cloud/port.ts'
import { makeThrottle } from '#cloud/throttle.ts'
import { VirtualClock } from '../../test/support/virtual-clock.ts'

const unused = () => Promise.reject(new Error('not expected'))
const nothing: Cloud = {
  createEni: unused,
  attachEni: unused,
  detachEni: unused,
  deleteEni: unused,
  describeEnis: unused,
  assignIpv4: unused,
  assignIpv6: unused,
  unassignIpv4: unused,
  unassignIpv6: unused,
  describeVSwitch: unused,
  describeInstanceTypes: unused,
  instanceExists: unused,
}

function over(cloud: Partial<Cloud>, limits: Readonly<Record<string, number>> = {}) {
  const clock = new VirtualClock()
  const called: (string | undefined)[] = []
  const observer = { called: (_: string, __: number, e: CloudError | undefined) => void called.push(e?.code), waited: () => undefined }
  const cloudFor = governed({ ...nothing, ...cloud }, { clock, throttle: makeThrottle(clock, limits), observer })
  return { clock, called, cloud: cloudFor('pod', 'test') }
}

const failing = (...codes: readonly string[]) => {
  let n = 0
  return () => {
    const code = codes[n++]
    return code === undefined ? Promise.resolve() : Promise.reject(new CloudError('DeleteNetworkInterface', code, 'x', { httpStatus: 400 }))
  }
}

test('a call that may succeed is made three times; a verdict is final', async () => {
  const retried = over({ deleteEni: failing('InternalError', 'Throttling.User') })
  const done = retried.cloud.deleteEni('e')
  await retried.clock.advance(10_000)
  await done
  assert.deepEqual(retried.called, ['InternalError', 'Throttling.User', undefined])
  const denied = over({ deleteEni: failing('Forbidden.RAM') })
  await assert.rejects(denied.cloud.deleteEni('e'), { code: 'Forbidden.RAM' })
  assert.equal(denied.called.length, 1)
})

test('a verdict after a try without answer leaves doubt', async () => {
  const { cloud, clock } = over({ deleteEni: failing('Timeout', 'EniPerInstanceLimitExceeded') })
  const failed = assert.rejects(cloud.deleteEni('e'), (e: unknown) => e instanceof CloudError && e.class === 'quota' && e.mayHaveHappened)
  await clock.advance(10_000)
  await failed
})

test("an unassign without a verdict is the caller's to repeat: a try that succeeds must not hide one that comes late", async () => {
  const unassign = failing('Timeout')
  const { cloud, clock, called } = over({ unassignIpv4: unassign, unassignIpv6: unassign })
  const failed = assert.rejects(cloud.unassignIpv4({ eniId: 'e', addresses: [] }), { code: 'Timeout', mayHaveHappened: true })
  await clock.advance(10_000)
  await failed
  assert.deepEqual(called, ['Timeout'])
  const busy = over({ unassignIpv6: failing('Operation.Conflict', 'Throttling.User') })
  const done = busy.cloud.unassignIpv6({ eniId: 'e', addresses: [] })
  await busy.clock.advance(10_000)
  await done
  assert.deepEqual(busy.called, ['Operation.Conflict', 'Throttling.User', undefined])
})

test('Describe calls by id share calls of at most 100; no id, no call', async () => {
  const asked: number[] = []
  const describeEnis = (r: DescribeEnis) => {
    asked.push(r.ids?.length ?? 0)
    return Promise.resolve((r.ids ?? []).filter(id => id !== 'eni-7').map(id => ({ id }) as Eni))
  }
  const { cloud, clock } = over({ describeEnis })
  const all = Promise.all(Array.from({ length: 150 }, (_, i) => cloud.describeEnis({ ids: [`eni-${i}`] })))
  await clock.advance(1_000)
  const found = await all
  assert.deepEqual(asked, [100, 50])
  assert.deepEqual([found[3]?.map(e => e.id), found[7]], [['eni-3'], []])
  assert.deepEqual(await cloud.describeEnis({ ids: [] }), [])
})

test('who asks while a batch waits for its budget joins it', async () => {
  const asked: number[] = []
  const describeEnis = (r: DescribeEnis) => {
    asked.push(r.ids?.length ?? 0)
    return Promise.resolve((r.ids ?? []).map(id => ({ id }) as Eni))
  }
  const { cloud, clock } = over({ describeEnis }, { DescribeNetworkInterfaces: 1 })
  const all: Promise<readonly Eni[]>[] = []
  for (let i = 0; i < 100; i++) {
    all.push(cloud.describeEnis({ ids: [`eni-${i}`] }))
    await clock.advance(500)
  }
  await clock.advance(120_000)
  assert.deepEqual((await Promise.all(all)).flat().length, 100)
  // One at once, and one with all the others when the next minute has come.
  assert.deepEqual(asked, [1, 99])
})
