// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, type TestContext, test } from 'node:test'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import type { NodeDatapath } from '#datapath/port.ts'
import { socketProgramNames } from '#kernel/bpf/programs.ts'
import { observeHost } from '#kernel/host.ts'
import { until } from '../support/until.ts'
import { DatapathLab, internet4, internet6, type Probe, v2 } from './datapath-lab.ts'
import { nodes, putServices } from './datapath-services.ts'
import { tracesOn } from './datapath-traces.ts'
import { worthKilling } from './worth-killing.ts'

/**
 * A process that makes a node something else is killed before each of its steps, by SIGKILL: while it loads, attaches, replaces, or takes away. Connections go on,
 * and the next process ends what that one began: nothing is left, nothing lacks. Steps are those that a process was seen to make (step-killed.ts), so that none is
 * missed. Many are like others: the next of thirty maps is pinned. Each kind of step is killed between each kind of neighbours; EVERY_STEP=1 is for all of them.
 */

const serviceIp = '10.96.0.10'
/** No step has this number. */
const never = 0
const cache = mkdtempSync(join(tmpdir(), 'killed-'))
let lab: DatapathLab
let pods: readonly SharedEniAttachment[]
let pod: Probe
let outside: Probe

before(async () => {
  lab = await DatapathLab.create('ki', { v2: true })
  pods = [lab.pod(11, { families: [4, 6] }), lab.pod(12, { eni: 2, families: [4, 6] })]
  for (const a of pods) await lab.datapath.setup(a)
  await lab.probe('pod12')
  ;[outside, pod] = [await lab.probe('gw1'), await lab.probe('pod11')]
  for (const to of ['10.0.2.12', 'fd00:2::12', internet4, internet6]) assert.equal(await pod.beat('tcp', to, 5), 'ok')
  for (const to of ['10.0.1.11', 'fd00:1::11']) assert.equal(await outside.beat('tcp', to, 5), 'ok')
})
after(async () => {
  await lab.close()
  rmSync(cache, { recursive: true })
})

/** The steps that a process makes of a change, up to the one before which it is killed. */
async function stepsOf(node: NodeDatapath, killedBefore: number): Promise<readonly string[]> {
  const [preloaded = '', script = ''] = ['step-killed.ts', 'datapath-v2-killed.ts'].map(file => join(import.meta.dirname, file))
  const args = ['--import', preloaded, script, JSON.stringify({ places: lab.places, pods, node })]
  const env = { ...process.env, TERWAY_KILL_STEP: `${killedBefore}`, NODE_COMPILE_CACHE: cache }
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const [output, [code, signal]] = await Promise.all([text(child.stdout), once(child, 'exit')])
  assert.deepEqual([code, signal], killedBefore === never ? [0, null] : [null, 'SIGKILL'])
  return output.trim().split('\n')
}

async function goesOn(): Promise<void> {
  for (const probe of [pod, outside]) {
    const earlier = await probe.beats()
    await until(async () => {
      const now = Object.entries(await probe.beats())
      for (const [row, { ended }] of now) assert.equal(ended, '', row)
      return now.every(([row, { echoed }]) => echoed > (earlier[row]?.sent ?? 0))
    }, 'connections go on')
  }
}

/** What a node is to be, by which programs, and what works when it is that. */
interface Change {
  readonly name: string
  readonly node: NodeDatapath
  readonly generation: string
  readonly works?: () => Promise<unknown>
}

/** As the next process finds it, and then leaves it. */
async function become({ node, generation, works }: Change): Promise<readonly string[]> {
  lab.upgrade(generation)
  await lab.afterRestart(async (datapath, kernel) => {
    await datapath.setNode(node, pods)
    assert.deepEqual(await datapath.differing(pods), [])
    const { sockets } = await observeHost(kernel, { links: [], families: [], sockets: true })
    const serves = node.kind !== 'veth' && node.services !== undefined
    const wanted = serves ? socketProgramNames.map(name => `${name}.${generation}`) : []
    assert.deepEqual(sockets.map(s => s.name).toSorted(), wanted.toSorted())
  })
  await works?.()
  return tracesOn(lab)
}

/** Lines that are there more or less often than is right. */
function differing(right: readonly string[], seen: readonly string[]): readonly string[] {
  const often = (lines: readonly string[], line: string) => lines.filter(l => l === line).length
  return [...new Set([...right, ...seen])].filter(line => often(right, line) !== often(seen, line))
}

/** Goes round these changes until a process of each was killed before all of its steps. Each begins where the one before it ended. */
async function killedInAll(t: TestContext, changes: readonly Change[]): Promise<void> {
  const tries: {
    readonly change: Change
    readonly steps: readonly string[]
    readonly right: readonly string[]
    readonly left: number[]
  }[] = []
  // Once round, so that each finds what the one before it leaves, as it will each time.
  for (const change of changes) await become(change)
  for (const change of changes) {
    lab.upgrade(change.generation)
    const steps = await stepsOf(change.node, never)
    tries.push({ change, steps, right: await become(change), left: [...worthKilling(steps)] })
    t.diagnostic(`${change.name}: killed before ${tries.at(-1)?.left.length} of ${steps.length} steps`)
  }
  while (tries.some(({ left }) => left.length > 0)) {
    for (const { change, steps, right, left } of tries) {
      lab.upgrade(change.generation)
      const step = left.shift()
      if (step !== undefined) assert.deepEqual(await stepsOf(change.node, step), steps.slice(0, step))
      await goesOn()
      assert.deepEqual(differing(right, await become(change)), [], `${change.name}, killed before step ${step}, ${steps[(step ?? 0) - 1]}`)
    }
  }
}

const [generation, other] = ['aaaaaaaaaaaa', 'bbbbbbbbbbbb']
const works = async () => assert.equal(await pod.call(serviceIp), 'gw1 10.0.1.11')

/** The programs translate as soon as all Services are in the maps. */
async function startServices(): Promise<void> {
  await become({ name: 'V2', node: nodes.v2, generation })
  await putServices(lab.kernel, [{ name: 'remote', ips: [serviceIp], backends: [internet4], nodePort: 30010 }])
  await become({ name: 'V2 with all Services', node: nodes.v2, generation, works })
}

test('programs, Services and all come to a regular node, and go', async t => {
  await killedInAll(t, [
    { name: 'regular to V2', node: nodes.v2, generation },
    { name: 'V2 to regular', node: { kind: 'veth' }, generation },
  ])
})

test('the hooks of the node and its sockets come to a node with programs, and go', async t => {
  await startServices()
  await killedInAll(t, [
    { name: 'kube-proxy to programs', node: nodes.v2, generation, works },
    { name: 'programs to kube-proxy', node: v2, generation },
  ])
})

test('other programs take the place of those that run', async t => {
  await startServices()
  assert.equal(await pod.beat('tcp', serviceIp, 5), 'ok')
  await killedInAll(t, [
    { name: 'upgrade', node: nodes.v2, generation: other, works },
    { name: 'downgrade', node: nodes.v2, generation, works },
  ])
})

test('a node with Services is switched from programs to its host stack, and back', async t => {
  await startServices()
  await killedInAll(t, [
    { name: 'V2 to regular with Services', node: nodes.regular, generation, works },
    { name: 'regular with Services to V2', node: nodes.v2, generation, works },
  ])
})
