// SPDX-License-Identifier: Apache-2.0
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Lab } from '../lab.ts'
import { collectAll } from '../logs.ts'
import { stackFrom } from '../stack.ts'
import { installTerway } from '../terway.ts'
import { nodeVSwitches, seed as vpc } from '../vpc.ts'
import { createDeployments, perform } from './act.ts'
import { deployments, describe, plan, type Scheduled } from './plan.ts'
import { heldTwice, holdings } from './sample.ts'
import { checks, type Pool, settle, unrest } from './verdict.ts'

/*
 * `make chaos`: pods come and go while every program that Terway depends on, and Terway itself, is killed at random moments.
 * SECONDS=120 SEED=<number> NODES=3 IP_STACK=ipv4 NAME=chaos KEEP=1 (leaves the lab). Exits with 1 when anything was found.
 */
const number = (name: string, fallback: number) => {
  const value = Number(process.env[name] || fallback)
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${name}=${process.env[name]}: a whole number from 1`)
  return value
}
const seconds = number('SECONDS', 120)
const seed = number('SEED', 1 + Math.floor(Math.random() * 999_999))
const nodes = number('NODES', 3)
const stack = stackFrom('IP_STACK', process.env.IP_STACK)
const name = process.env.NAME || 'chaos'
const pool: Pool = { min: 2, max: 5 }
const sampleEvery = 3_000
const quietWithin = 240_000
const settledWithin = 120_000

const began = performance.now()
const say = (text: string) => console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(7)} s  ${text}`)
const findings: string[] = []
function found(what: string, lines: readonly string[]): void {
  for (const line of lines) {
    findings.push(`${what}: ${line}`)
    say(`FOUND  ${what}: ${line}`)
  }
}

/** What is being waited for: shown, and no finding yet. */
function waiting(lines: readonly string[]): void {
  say(`  … ${lines.slice(0, 4).join('; ')}${lines.length > 4 ? `; and ${lines.length - 4} more` : ''}`)
}

/** One lane of acts, each at its time or as soon as the one before is done. */
async function lane(lab: Lab, start: number, acts: readonly Scheduled[]): Promise<void> {
  for (const { at, act } of acts) {
    await sleep(Math.max(0, start + at - performance.now()))
    const words = await perform(lab, act).catch((e: Error) => {
      found('the cluster took an act', [`${describe(act)}: ${e.message}`])
      return 'failed'
    })
    say(describe(act) + (words.trim() === '' ? '' : ` (${words.trim()})`))
  }
}

/** Looks for an address with two holders until told to stop; what is seen twice in a row is no change between two looks. */
async function watch(lab: Lab, stop: AbortSignal): Promise<number> {
  let samples = 0
  for (; !stop.aborted; samples++) {
    const suspects = heldTwice(await holdings(lab))
    if (suspects.length > 0) {
      const again = new Set(heldTwice(await holdings(lab)))
      found(
        'sampled',
        suspects.filter(s => again.has(s)),
      )
    }
    await sleep(sampleEvery, undefined, { signal: stop }).catch(() => {})
  }
  return samples
}

async function run(lab: Lab): Promise<void> {
  await createDeployments(lab, deployments)
  const acts = plan(
    seed,
    seconds,
    lab.state.nodes.map(n => n.name),
  )
  const stop = new AbortController()
  const samples = watch(lab, stop.signal)
  const start = performance.now()
  await Promise.all([
    lane(
      lab,
      start,
      acts.filter(s => s.act.kind !== 'kill'),
    ),
    lane(
      lab,
      start,
      acts.filter(s => s.act.kind === 'kill'),
    ),
  ])
  say('nothing is killed any more')
  found('quiet', await settle(lab, unrest, quietWithin, waiting))
  say('the cluster is quiet')
  for (const { name, find } of checks(pool)) {
    const wrong = await settle(lab, find, settledWithin, waiting)
    say(`${wrong.length === 0 ? '✔' : '✘'} ${name}`)
    found(name, wrong)
  }
  stop.abort()
  say(`${acts.length} acts, ${acts.filter(s => s.act.kind === 'kill').length} of them kills; ${await samples} samples of who holds what`)
}

const numbers = `SEED=${seed} SECONDS=${seconds} NODES=${nodes} IP_STACK=${stack}`
console.log(`${numbers}: the same numbers give the same schedule again`)
await Lab.down(name)
const options = { name, nodes, stack, seed: vpc, instanceType: 'ecs.lab.medium', vSwitchIds: nodeVSwitches }
const lab = await Lab.up(options)
try {
  const eniConf = { max_pool_size: pool.max, min_pool_size: pool.min, ip_pool_sync_period: '5s' }
  await installTerway(lab, { eniConf, replicas: Math.min(2, nodes) })
  say(`lab ${name} with Terway`)
  await run(lab)
} catch (e) {
  found('chaos itself', [e instanceof Error ? (e.stack ?? e.message) : String(e)])
}
if (findings.length > 0) {
  const directory = join(tmpdir(), `terway-chaos-${seed}-${process.pid}`)
  await collectAll(lab, directory).catch((e: Error) => console.log(`not all logs could be collected: ${e.message}`))
  console.log(
    `\n${findings.length} findings:\n${findings.map(f => `  ${f}`).join('\n')}\nlogs and state: ${directory}\nagain: make chaos ${numbers}`,
  )
} else console.log('\nnothing was found: every address, ENI, device, rule and route is accounted for')
if (process.env.KEEP !== '1') await lab.down()
process.exitCode = findings.length === 0 ? 0 : 1
