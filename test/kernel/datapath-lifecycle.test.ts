// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { after, afterEach, before, test } from 'node:test'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { makeDatapath } from '#datapath/engine.ts'
import { leftovers } from '#datapath/inventory.ts'
import type { Datapath, Inventory } from '#datapath/port.ts'
import { makeKernel } from '#kernel/kernel.ts'
import { parseNetnsPath } from '#kernel/names.ts'
import { realClock } from '#lib/clock.ts'
import { silent } from '#lib/log.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIpv4 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import { DatapathLab, netnsFile } from './datapath-lab.ts'

let lab: DatapathLab
let empty: Inventory
before(async () => {
  lab = await DatapathLab.create('l')
  empty = await lab.datapath.inventory()
})
after(() => lab.close())
afterEach(() => afterRestart(async datapath => void (await datapath.removeLeftovers(await datapath.inventory()))))

/** Tears pods down as DEL does, and proves that nothing is left. */
async function remove(datapath: Datapath, ...pods: SharedEniAttachment[]): Promise<void> {
  await Promise.all(pods.map(a => datapath.withdraw(a)))
  const { gone, remaining } = await datapath.reap(pods.map(a => a.hostIfName))
  assert.deepEqual([gone.length, remaining], [pods.length, []])
  assert.deepEqual(await datapath.inventory(), empty)
}

/** The same node as a new process sees it: it remembers nothing. */
async function afterRestart(fn: (datapath: Datapath) => Promise<void>): Promise<void> {
  const kernel = await makeKernel({ hostNetns: netnsFile(`${lab.prefix}-host`) })
  const datapath = makeDatapath(kernel, { clock: realClock, log: silent })
  try {
    await fn(datapath)
  } finally {
    await datapath.close()
  }
}

test('an ENI that is not on the node is named by its MAC', async () => {
  const mac = parseMac('00:16:3e:00:00:77')
  await assert.rejects(lab.datapath.setup({ ...lab.pod(41), eni: { ...lab.eni(1), mac } }), {
    code: 'eni-absent',
    message: /00:16:3e:00:00:77/,
  })
})

test('an ENI is found again after its device came back under another name and number', async () => {
  const a = lab.pod(42, { eni: 2 })
  await lab.datapath.setup(a)
  lab.run('host', 'ip link del eth2')
  await assert.rejects(lab.datapath.diff(a), { code: 'eni-absent' })
  lab.run('host', `ip link add eth9 address ${lab.eni(2).mac} type veth peer name wire netns ${lab.prefix}-gw2`)
  const { ops } = await lab.datapath.setup(a)
  const [eth9] = JSON.parse(lab.run('host', 'ip -j link show eth9'))
  assert.ok(ops.some(o => o.op === 'link-set' && o.dev === 'eth9'))
  assert.deepEqual(
    ops.filter(o => o.op.startsWith('rule')).map(o => o.op),
    ['rule-add', 'rule-del'],
  )
  assert.match(lab.run('host', 'ip rule show priority 2048'), new RegExp(`^2048:\\tfrom 10.0.2.42 lookup ${1000 + eth9.ifindex}\\n$`))
  await remove(lab.datapath, a)
})

test('a hundred pods at once, there and back; the event loop and an ADD go on during the reaping', async () => {
  const [pods, late] = [Array.from({ length: 100 }, (_, i) => lab.pod(100 + i)), lab.pod(99)]
  // A busy machine may come to the ADD when all is reaped, but not each time.
  for (let tries = 1; ; tries++) {
    await Promise.all(pods.map(a => lab.datapath.setup(a)))
    assert.deepEqual((await Promise.all(pods.map(a => lab.datapath.diff(a)))).flat(), [])
    assert.equal((await lab.datapath.inventory()).hostLinks.length, 100)
    const order = await reapAndAdd(pods, late)
    assert.deepEqual(order.toSorted(), ['added', 'reaped', 'timer'])
    await remove(lab.datapath, late)
    if (order.at(-1) === 'reaped') return
    assert.ok(tries < 5, `neither waits for the reaping: ${order}`)
  }
})

/** What ends in which order. */
async function reapAndAdd(pods: readonly SharedEniAttachment[], late: SharedEniAttachment): Promise<readonly string[]> {
  const order: string[] = []
  await Promise.all(pods.map(a => lab.datapath.withdraw(a)))
  const reaping = lab.datapath.reap(pods.map(a => a.hostIfName)).then(r => {
    order.push('reaped')
    return r
  })
  setTimeout(() => order.push('timer'), 1)
  await lab.datapath.setup(late).then(() => order.push('added'))
  assert.deepEqual((await reaping).remaining, [])
  return order
}

test('a device of a dead sandbox with the same name is replaced in the same call, and its late DEL spares the new one', async () => {
  const old = lab.pod(51)
  const young: SharedEniAttachment = {
    ...lab.pod(52),
    hostIfName: old.hostIfName,
    v4: { ...(old.v4 ?? assert.fail()), address: parseIpv4('10.0.1.52') },
  }
  await lab.datapath.setup(old)
  const { ops } = await lab.datapath.setup(young)
  assert.deepEqual(
    ops.slice(0, 2).map(o => o.op),
    ['link-del', 'veth-add'],
  )
  await lab.datapath.withdraw(old)
  assert.deepEqual(await lab.datapath.reap([old.hostIfName]), { gone: [old.hostIfName], remaining: [] })
  assert.deepEqual(await lab.datapath.diff(young), [])
  await afterRestart(async datapath => {
    await datapath.withdraw(old)
    assert.deepEqual(await datapath.reap([old.hostIfName]), { gone: [old.hostIfName], remaining: [] })
    assert.deepEqual(await datapath.diff(young), [], 'the device says whose it is')
    await remove(datapath, young)
  })
})

test('two dead sandboxes with one name: neither DEL takes the other for a live one', async () => {
  const first = lab.pod(53)
  const second: SharedEniAttachment = { ...lab.pod(54), hostIfName: first.hostIfName }
  await lab.datapath.setup(first)
  await lab.datapath.setup(second)
  await afterRestart(async datapath => {
    await datapath.withdraw(first)
    await datapath.withdraw(second)
    assert.deepEqual(await datapath.reap([first.hostIfName]), { gone: [first.hostIfName], remaining: [] })
    assert.deepEqual(await datapath.inventory(), empty)
  })
})

test('killed after any operation of an ADD: the next process finds and removes what is there, or completes it', async () => {
  const a = lab.pod(61, { families: [4, 6] })
  const ops = await lab.datapath.diff(a)
  assert.ok(ops.length > 15)
  for (let n = 1; n <= ops.length; n++) {
    assert.equal((await lab.kernel.apply(ops.slice(0, n))).failed, undefined)
    await afterRestart(async datapath => {
      if (n % 2 === 0) await datapath.removeLeftovers(leftovers(await datapath.inventory(), []))
      else {
        await datapath.setup(a)
        assert.deepEqual(await datapath.diff(a), [], `completed after ${n}`)
        await remove(datapath, a)
      }
      assert.deepEqual(await datapath.inventory(), empty, `clean after ${n}`)
    })
  }
})

test('leftovers are what no live attachment accounts for; a live pod is never among those removed', async () => {
  const [live, dead] = [lab.pod(62), lab.pod(63)]
  await lab.datapath.setup(live)
  await lab.datapath.setup(dead)
  await afterRestart(async datapath => {
    const left = leftovers(await datapath.inventory(), [live])
    assert.deepEqual(
      left.hostLinks.map(l => [l.name, l.owner]),
      [[dead.hostIfName, 'container-63']],
    )
    await datapath.removeLeftovers(left)
    assert.deepEqual(leftovers(await datapath.inventory(), [live]), { hostLinks: [], rules: [], routes: [] })
  })
  assert.deepEqual(await lab.datapath.diff(live), [])
  await lab.datapath.removeLeftovers(await lab.datapath.inventory())
  assert.deepEqual(await lab.datapath.diff(live), [], 'set up by this very process')
  await remove(lab.datapath, live)
})

test('the route that the kernel makes for the gateway address of a host end belongs to its pod', async () => {
  const a = lab.pod(64, { families: [6], more: { extraRoutes: [parseCidr('2001:db8:5::/48')] } })
  await lab.datapath.setup(a)
  assert.match(lab.run('host', 'ip -6 route show fe80::1'), new RegExp(`dev ${a.hostIfName} proto kernel`))
  assert.deepEqual(leftovers(await lab.datapath.inventory(), [a]), { hostLinks: [], rules: [], routes: [] })
  await remove(lab.datapath, a)
})

test('a namespace that is gone is said to be gone; withdrawing and reaping work without it', async () => {
  const a = lab.pod(71)
  await lab.datapath.setup(a)
  lab.removeNetns('pod71')
  await assert.rejects(lab.datapath.setup(a), { code: 'netns-gone' })
  await assert.rejects(lab.datapath.diff(a), { code: 'netns-gone' })
  await remove(lab.datapath, a)

  const file = `/run/${lab.prefix}-not-a-netns`
  writeFileSync(file, '')
  try {
    await assert.rejects(lab.datapath.setup({ ...a, netns: parseNetnsPath(file) }), { code: 'netns-gone' })
  } finally {
    execFileSync('rm', ['-f', file])
  }
  await remove(lab.datapath, a)
})

test('namespaces that vanish while pods are set up leave nothing behind', async () => {
  const pods = Array.from({ length: 10 }, (_, i) => lab.pod(80 + i))
  const setups = pods.map(a => lab.datapath.setup(a))
  for (const i of pods.keys()) lab.removeNetns(`pod${80 + i}`)
  for (const result of await Promise.allSettled(setups)) {
    if (result.status === 'rejected') assert.match(result.reason.code, /^(netns-gone|kernel-refused)$/)
  }
  await remove(lab.datapath, ...pods)
})

test('a refusal names the operation, the errno and what the kernel says', async () => {
  const dev = lab.pod(91).hostIfName
  const result = await lab.kernel.apply([
    { op: 'rule-add', ns: 'host', priority: 512, to: `10.9.9.9/32` as never, table: 254 },
    { op: 'link-set', ns: 'host', dev, set: { up: true } },
    { op: 'rule-del', ns: 'host', priority: 512, to: `10.9.9.9/32` as never, table: 254 },
  ])
  assert.equal(result.done.length, 1, 'nothing is tried after the failure')
  assert.deepEqual([result.failed?.code, result.failed?.errno], ['kernel-refused', 'ENODEV'])
  assert.match(result.failed?.message ?? '', new RegExp(`^ip link set ${dev} up: ENODEV`))
  lab.run('host', 'ip rule del priority 512 to 10.9.9.9')
})

test('a thread that cannot start is a clear error', async () => {
  await assert.rejects(makeKernel({ hostNetns: '/run/netns/does-not-exist' }), { code: 'kernel-worker', message: /does-not-exist/ })
  await assert.rejects(makeKernel({ workerUrl: new URL('file:///does/not/exist.mjs') }), { code: 'kernel-worker' })
})
