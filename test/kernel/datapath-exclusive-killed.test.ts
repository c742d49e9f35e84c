// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, type TestContext, test } from 'node:test'
import type { ExclusiveEniAttachment } from '#datapath/attachment.ts'
import { DatapathLab, internet4, internet6, type Probe } from './datapath-lab.ts'
import { worthKilling } from './worth-killing.ts'

/**
 * A process that brings a pod with an ENI for itself up, or takes it down, is killed before each kind of its steps, by SIGKILL. The ENI is in the pod or on the
 * host then, never in both and never lost, and the next process ends what that one began, or takes it back.
 */

/** No step has this number. */
const never = 0
const cache = mkdtempSync(join(tmpdir(), 'killed-'))
let lab: DatapathLab
let a: ExclusiveEniAttachment
let pod: Probe
before(async () => {
  lab = await DatapathLab.create('ek')
  a = lab.exclusive(11, { families: [4, 6], more: { egressBytesPerSecond: 12_500_000 } })
  await lab.probe('gw1')
  pod = await lab.probe('pod11')
})
after(async () => {
  await lab.close()
  rmSync(cache, { recursive: true })
})

/** The steps that a process makes, up to the one before which it is killed. */
async function stepsOf(up: boolean, killedBefore: number): Promise<readonly string[]> {
  const [preloaded = '', script = ''] = ['step-killed.ts', 'datapath-exclusive-killed.ts'].map(file => join(import.meta.dirname, file))
  const args = ['--import', preloaded, script, JSON.stringify({ places: lab.places, pod: a, up })]
  const env = { ...process.env, TERWAY_KILL_STEP: `${killedBefore}`, NODE_COMPILE_CACHE: cache }
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const [output, [code, signal]] = await Promise.all([text(child.stdout), once(child, 'exit')])
  assert.deepEqual([code, signal], killedBefore === never ? [0, null] : [null, 'SIGKILL'])
  return output.trim().split('\n')
}

/** Where the ENI's device is. */
function places(): readonly string[] {
  return ['host', 'pod11'].filter(ns => lab.run(ns, 'ip -o link show').includes(` ${a.eni.mac} `))
}

async function bringUp(): Promise<void> {
  await lab.afterRestart(async datapath => {
    await datapath.setup(a)
    assert.deepEqual(await datapath.diff(a), [])
  })
  assert.deepEqual(places(), ['pod11'])
  for (const to of [internet4, internet6]) assert.match(await pod.ask(to), /^gw1 /)
}

/** `lost`: the process knows of no lease, so that what is there is a leftover. */
async function takeDown(lost: boolean): Promise<void> {
  await lab.afterRestart(async datapath => {
    if (lost) await datapath.removeLeftovers(await datapath.inventory([a.netns]))
    else {
      await datapath.withdraw(a)
      assert.deepEqual((await datapath.reap([a.hostIfName])).remaining, [])
    }
    assert.deepEqual(await datapath.inventory([a.netns]), { hostLinks: [], rules: [], routes: [] })
  })
  assert.deepEqual(places(), ['host'])
  assert.match(lab.run('host', 'ip link show eth1'), /state DOWN/)
}

/** Each round begins with what the one before left, which is every other time nothing of its own. */
async function killedInAll(t: TestContext, up: boolean): Promise<void> {
  const start = up ? () => takeDown(false) : bringUp
  // Once there and back, so that what a node has once for all is there.
  await bringUp()
  await start()
  const steps = await stepsOf(up, never)
  const numbers = worthKilling(steps)
  t.diagnostic(`killed before ${numbers.length} of ${steps.length} steps`)
  for (const n of numbers) {
    await start()
    assert.deepEqual(await stepsOf(up, n), steps.slice(0, n))
    assert.equal(places().length, 1)
    if (n % 2 === 0) await takeDown(true)
    else await bringUp()
  }
  await takeDown(false)
}

test('killed on its way up', t => killedInAll(t, true))
test('killed on its way down', t => killedInAll(t, false))
