// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloudError } from '#cloud/errors.ts'
import { governed } from '#cloud/execute.ts'
import type { Cloud, Eni } from '#cloud/port.ts'
import { makeThrottle } from '#cloud/throttle.ts'
import { defaultWindows, Memory } from '#controller/eni/memory.ts'
import { moveInterval, perform } from '#controller/eni/perform.ts'
import type { Outcome } from '#controller/eni/record.ts'
import { makeVSwitchCache } from '#controller/vswitch/cache.ts'
import type { CloudAction } from '#ipam/action.ts'
import type { Intent } from '#kube/crd/node.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIpv4 } from '#net/ip.ts'
import { VirtualClock } from '../../../test/support/virtual-clock.ts'

const ip = '10.0.0.2'
const unassign: CloudAction = { do: 'unassign', eniId: 'eni-1', ipv4: [ip], ipv6: [] }
const attach = (eniId: string): CloudAction => ({ do: 'attach', eniId, priority: 'pod' })
const assign = (n: number): Intent => ({
  token: `t-${n}`,
  kind: 'assign-ips',
  eniID: `eni-${n}`,
  vSwitchID: 'vsw-a',
  ipv4Count: 1,
  ipv6Count: 0,
  since: '2026-01-01T00:00:00Z',
})

/** One node's calls over a cloud of which only `parts` are there; a call takes a second unless it says otherwise. */
function stage(parts: Partial<Cloud>) {
  const clock = new VirtualClock()
  const missing = new Proxy({}, { get: (_, name) => () => assert.fail(`${String(name)} is not expected`) }) as Cloud
  const cloud = { ...missing, ...parts } as Cloud
  const observer = { called: () => undefined, waited: () => undefined }
  const cloudFor = governed(cloud, { clock, throttle: makeThrottle(clock), observer })
  const memory = new Memory(clock.now(), defaultWindows)
  const node = { apiVersion: 'network.alibabacloud.com/v1beta1', kind: 'Node', metadata: { name: 'n' }, spec: {} }
  const vSwitches = makeVSwitchCache(cloudFor('pod', 'cache'), clock)
  const work = { node, clusterId: 'c', cloudFor, vSwitches, memory, clock, assertLeader: () => undefined }
  return {
    clock,
    memory,
    vSwitches,
    /** Makes the calls, and lets `ms` pass: whatever is not over by then is a fault. */
    async run(ms: number, intents: readonly Intent[], ...actions: readonly CloudAction[]): Promise<readonly Outcome[]> {
      let outcomes: readonly Outcome[] | undefined
      const done = perform(work, intents, actions).then(o => {
        outcomes = o
      })
      await clock.advance(ms)
      assert.ok(outcomes !== undefined, `not over in ${ms} ms`)
      await done
      return outcomes
    },
  }
}

test('ENIs of one node work in parallel, the calls about one ENI one after the other', async () => {
  const running = new Set<string>()
  let most = 0
  const busy = async <T>(eniId: string, result: T) => {
    assert.ok(!running.has(eniId), `two calls about ${eniId} at once`)
    running.add(eniId)
    most = Math.max(most, running.size)
    await s.clock.sleep(1_000)
    running.delete(eniId)
    return result
  }
  const s = stage({
    assignIpv4: r => busy(r.eniId, [parseIpv4(ip)]),
    attachEni: r => busy(r.eniId, undefined),
    unassignIpv4: r => busy(r.eniId, undefined),
  })
  const outcomes = await s.run(2_000, [assign(1), assign(2)], unassign, attach('eni-2'), attach('eni-3'))
  assert.deepEqual(
    outcomes.map(o => o.was),
    ['assigned', 'unassigned', 'assigned', 'moving', 'moving'],
  )
  assert.equal(most, 3)
})

test('an address whose unassign had no answer stays in the record while that call may still come, though the next one succeeds', async () => {
  let asked = 0
  const s = stage({
    unassignIpv4: () => (++asked === 1 ? Promise.reject(new CloudError('UnassignPrivateIpAddresses', 'Timeout', 'x')) : Promise.resolve()),
  })
  s.memory.born(`eni-1/${ip}`)
  assert.equal((await s.run(0, [], unassign))[0]?.was, 'failed')
  await s.clock.advance(moveInterval)
  assert.deepEqual(await s.run(0, [], unassign), [{ was: 'unassigned', eniId: 'eni-1', addresses: [] }])
  await s.clock.advance(defaultWindows.late)
  assert.deepEqual(await s.run(0, [], unassign), [{ was: 'unassigned', eniId: 'eni-1', addresses: [ip] }])
})

test('a family that the vSwitch has no address of is passed over for a while; what came before is recorded', async () => {
  const dry = (action: string) => Promise.reject(new CloudError(action, 'InvalidVSwitchId.IpNotEnough', 'x', { httpStatus: 403 }))
  const s = stage({
    describeVSwitch: id => Promise.resolve({ id, zoneId: 'a', availableIpCount: 100, cidr4: parseCidr('10.0.0.0/16') }),
    assignIpv4: r => (r.eniId === 'eni-3' ? dry('AssignPrivateIpAddresses') : Promise.resolve([parseIpv4(ip)])),
    assignIpv6: () => dry('AssignIpv6Addresses'),
  })
  for (const n of [1, 2, 3]) s.memory.born(assign(n).token)
  const left = async (id: string) => (await s.vSwitches.get([id]))[0]
  const vSwitchOf = (n: number) => `vsw-${n}`
  const intents = [1, 2, 3].map(n => ({ ...assign(n), vSwitchID: vSwitchOf(n), ipv4Count: n === 2 ? 0 : 1, ipv6Count: 1 }))
  await Promise.all([1, 2, 3].map(n => left(vSwitchOf(n))))
  const outcomes = await s.run(0, intents)
  assert.deepEqual(
    outcomes.map(o => ('ipv4' in o ? [o.was, o.ipv4, o.ipv6] : [o.was])),
    [['assigned', [ip], []], ['refused'], ['refused']],
  )
  assert.partialDeepStrictEqual(
    [await left('vsw-1'), await left('vsw-2'), await left('vsw-3')],
    [{ availableIpCount: 99, ipv6Exhausted: true }, { availableIpCount: 100, ipv6Exhausted: true }, { availableIpCount: 0 }],
  )
})

test('a created ENI is recorded also when its vSwitch cannot be described', async () => {
  const eni = { id: 'eni-1', ipv4: [parseIpv4(ip)], ipv6: [], vSwitchId: 'vsw-a' } as unknown as Eni
  const s = stage({
    createEni: () => Promise.resolve(eni),
    describeVSwitch: () => Promise.reject(new CloudError('DescribeVSwitches', 'Forbidden.RAM', 'x', { httpStatus: 403 })),
  })
  const { eniID: _, ...rest } = assign(1)
  const intent: Intent = { ...rest, kind: 'create-eni' }
  assert.deepEqual(await s.run(10_000, [intent]), [{ was: 'created', intent, eni, vSwitch: undefined }])
})

test('only an ENI that is on its way is no failure; a refused attachment is asked for less and less often', async () => {
  let code = 'InvalidOperation.InvalidEniState'
  const s = stage({ attachEni: () => Promise.reject(new CloudError('AttachNetworkInterface', code, 'x', { httpStatus: 400 })) })
  assert.equal((await s.run(0, [], attach('eni-1')))[0]?.was, 'moving')
  code = 'InvalidOperation.InvalidEcsState'
  const asked: number[] = []
  for (let left = 30; left > 0; left--) {
    await s.clock.advance(moveInterval)
    const [outcome] = await s.run(0, [], attach('eni-1'))
    if (outcome !== undefined) asked.push(s.clock.now() / moveInterval)
    assert.ok(outcome === undefined || outcome.was === 'failed')
  }
  assert.deepEqual(asked, [1, 3, 7, 15])
})
