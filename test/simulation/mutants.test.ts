// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isViolation, noMutation } from './cluster.ts'
import { isolated, longLag, manyExtras, manyLateCalls, mutants } from './mutants.ts'
import { history } from './scenario.ts'

/** Fixed seeds: whether a mutant dies must not depend on luck. SEED=n replays the product in harsh surroundings only. */
const seedsPerMutant = 25
const length = 500
const replay = process.env.SEED

for (const m of replay === undefined ? mutants : []) {
  test(`mutant ${m.name} is noticed: ${m.lacks}`, async t => {
    for (let seed = 1; seed <= seedsPerMutant; seed++) {
      try {
        await history(seed, length, m.ports())
      } catch (e) {
        if (!isViolation(e)) throw e
        t.diagnostic(e.message.slice(0, 160))
        // With the safeguard the same seed passes: it is the mutation that was noticed.
        await history(seed, length, { ...noMutation, surroundings: m.ports().surroundings })
        return
      }
    }
    assert.fail(`${m.name} survived ${seedsPerMutant} histories`)
  })
}

for (const [name, surroundings] of [
  ['many late calls', manyLateCalls],
  ['a Describe that lags 15 s', longLag],
  ['daemons without an API server', isolated],
  ['addresses that somebody assigns to ENIs of single pods', manyExtras],
] as const) {
  test(`the product itself bears ${name}`, async () => {
    for (const seed of replay === undefined ? [1, 2, 3] : [Number(replay)]) await history(seed, length, { ...noMutation, surroundings })
  })
}
