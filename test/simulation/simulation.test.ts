// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isViolation, noMutation } from './cluster.ts'
import { isolated, longLag, manyLateCalls, mutants } from './mutants.ts'
import { history } from './scenario.ts'

/** SEED=n replays one history; OPS=n changes its length; OPERATIONS=n how many there are in all. */
const replay = process.env.SEED
const length = Number(process.env.OPS ?? 600)
const wanted = Number(process.env.OPERATIONS ?? 20_400)

test('random histories from fresh seeds: no address twice, none taken from its holder, nothing leaked, nobody stuck', async t => {
  if (replay !== undefined) {
    t.diagnostic(JSON.stringify(await history(Number(replay), length)))
    return
  }
  const base = Math.floor(Math.random() * 2 ** 30)
  const total = { histories: 0, operations: 0, steps: 0, adds: 0, failedAdds: 0, cloudCalls: 0 }
  while (total.operations < wanted) {
    const seed = base + total.histories
    const o = await history(seed, length).catch((e: unknown) => {
      t.diagnostic(`replay with: SEED=${seed} OPS=${length} make test-simulation`)
      throw e
    })
    total.histories += 1
    for (const key of ['operations', 'steps', 'adds', 'failedAdds', 'cloudCalls'] as const) total[key] += o[key]
  }
  t.diagnostic(`seeds ${base}..${base + total.histories - 1}: ${JSON.stringify(total)}`)
  assert.ok(total.adds > total.histories * 30, `only ${total.adds} ADDs succeeded: the simulated cluster does not work`)
})

test('the same seed is the same history', { skip: replay !== undefined }, async () => {
  assert.deepEqual(await history(7, 120), await history(7, 120))
})

/** Fixed seeds: whether a mutant dies must not depend on luck. */
const seedsPerMutant = 20

for (const m of mutants) {
  test(`mutant ${m.name} is noticed: ${m.lacks}`, { skip: replay !== undefined }, async t => {
    for (let seed = 1; seed <= seedsPerMutant; seed++) {
      try {
        await history(seed, 500, m.ports())
      } catch (e) {
        if (!isViolation(e)) throw e
        t.diagnostic(e.message.slice(0, 160))
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
] as const) {
  test(`the product itself bears ${name}`, { skip: replay !== undefined }, async () => {
    for (const seed of [1, 2, 3]) await history(seed, 400, { ...noMutation, surroundings })
  })
}
