// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, afterEach, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { block } from '#kernel/bpf/words.ts'
import { parseIfName } from '#kernel/names.ts'
import type { FilterSet } from '#kernel/op.ts'
import type { Kernel } from '#kernel/port.ts'
import { applied, BpfLab, costOf, drop, look, pass, programsReturning, refusedBy, sizes } from './bpf-lab.ts'

let lab: BpfLab
let kernel: Kernel
let echo: ChildProcess
before(async () => {
  lab = new BpfLab()
  kernel = await lab.kernel()
  echo = spawn('ip', ['netns', 'exec', lab.peer, process.execPath, script, 'serve', '7'], { stdio: ['ignore', 'pipe', 'inherit'] })
  if (echo.stdout !== null) await once(echo.stdout, 'data')
  // Each runs in a block, for the next load takes away what runs nowhere.
  await applied(kernel, [join('d3', block.podIn, block.podOut)])
  for (const [verdict, generation, runsIn] of generations) {
    lab.use(programsReturning(verdict, generation))
    await kernel.loadPrograms(sizes)
    await applied(kernel, [set(runsIn, generation)])
  }
})
after(async () => {
  echo.kill()
  await lab.close()
})
afterEach(() => applied(kernel, [leave('d0'), leave('d1')]))

const [passing, dropping] = ['aaaaaaaaaaaa', 'bbbbbbbbbbbb']
const generations = [
  [pass, passing, block.podIn],
  [drop, dropping, block.podOut],
] as const
const host = { ns: 'host' } as const
const join = (dev: string, ingress?: number, egress?: number) =>
  ({ op: 'block-join', ...host, dev: parseIfName(dev), ...(ingress && { ingress }), ...(egress && { egress }) }) as const
const leave = (dev: string) => ({ op: 'block-leave', ...host, dev: parseIfName(dev) }) as const
const set = (number: number, generation: string): FilterSet => ({ op: 'filter-set', ...host, block: number, program: 'pod_in', generation })
const script = fileURLToPath(new URL('bpf-ping-pong.ts', import.meta.url))
/** How many of so many datagrams were answered within so many seconds each. */
async function answers(count: number, seconds = 60): Promise<number> {
  const command = ['netns', 'exec', lab.host, process.execPath, script, 'ask', '192.0.2.2', '7', `${count}`, `${seconds}`]
  return Number((await promisify(execFile)('ip', command)).stdout)
}

test('devices join blocks and leave them; a second time nothing happens', async () => {
  const links = lab.devices.slice(0, 3)
  await applied(kernel, [join('d0', 5, 6), join('d1', 5), join('d0', 5, 6)])
  const { hooks, links: found } = await look(kernel, { links, hooks: true })
  const indexOf = (name: string) => found.find(l => l.name === name)?.index
  assert.deepEqual(hooks, [
    { ifIndex: indexOf('d0'), ingress: 5, egress: 6, foreign: false },
    { ifIndex: indexOf('d1'), ingress: 5, foreign: false },
  ])
  await applied(kernel, [leave('d0'), leave('d0'), leave('d1'), leave('no-such')])
  assert.deepEqual((await look(kernel, { links, hooks: true })).hooks, [])
})

test('a device with other hooks is refused with what it has, and left as it is', async () => {
  await applied(kernel, [join('d0', 5, 6)])
  assert.match(await refusedBy(kernel, join('d0', 5)), /EEXIST, the device has a clsact qdisc that joins other blocks: ingress 5, egress 6/)
  for (const kind of ['clsact', 'ingress']) {
    lab.tc('qdisc', 'add', 'dev', 'd1', kind)
    assert.match(await refusedBy(kernel, join('d1', 5)), /EEXIST, the device has an ingress or clsact qdisc of somebody else/)
    const hooksOf = async () => (await look(kernel, { links: [parseIfName('d1')], hooks: true })).hooks.map(h => h.foreign)
    assert.deepEqual(await hooksOf(), [true])
    await applied(kernel, [leave('d1')])
    assert.deepEqual(await hooksOf(), [true])
    lab.tc('qdisc', 'del', 'dev', 'd1', kind)
  }
})

test('a block has filters as long as a device joins it; those of others have the name that they gave', async () => {
  assert.match(await refusedBy(kernel, set(5, passing)), /EINVAL/)
  await applied(kernel, [join('d0', 5), set(5, passing), set(5, passing)])
  assert.deepEqual((await look(kernel, { blocks: [5, 6] })).filters, [{ block: 5, name: `pod_in.${passing}` }])
  lab.tc(...'filter add block 5 protocol all prio 9 bpf flowid 1:1 bytecode'.split(' '), '1,6 0 0 0')
  assert.deepEqual(
    (await look(kernel, { blocks: [5] })).filters.map(f => f.name),
    [`pod_in.${passing}`, 'bpf'],
  )
  await applied(kernel, [leave('d0')])
  assert.deepEqual((await look(kernel, { blocks: [5] })).filters, [])
})

test('the program of a block is what its devices run, from one packet to the next', async () => {
  await applied(kernel, [join('d0', 5), set(5, passing)])
  assert.equal(await answers(1), 1)
  await applied(kernel, [set(5, dropping)])
  assert.equal(await answers(1, 1), 0)
  await applied(kernel, [set(5, passing)])
  assert.equal(await answers(1), 1)
})

test('no packet is lost while a block changes its program and devices come and go, a thousand times', async () => {
  await applied(kernel, [join('d0', 5, 6), set(5, passing), set(6, passing)])
  let changes = 0
  while (changes < 1000) {
    let isOver = false
    const answered = answers(5000).finally(() => {
      isOver = true
    })
    while (!isOver) {
      await applied(kernel, [set(5, passing), join('d1', 5, 6), set(6, passing), leave('d1')])
      changes += 2
    }
    assert.equal(await answered, 5000)
  }
})

test('two thousand joins take no descriptor', async t => {
  await applied(kernel, [join('d0', 5, 6), set(5, passing)])
  const { fds, mb, ms } = await costOf(async () => {
    for (let i = 0; i < 2000; i++) await applied(kernel, [join('d1', 5, 6), set(5, passing), leave('d1')])
  })
  assert.ok(fds <= 0, `${fds} descriptors`)
  t.diagnostic(
    `joining, setting the program and leaving take ${(ms / 2000).toFixed(2)} ms together; resident memory ${mb.toFixed(2)} MB more`,
  )
})
