// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { history } from './scenario.ts'

/** SEED=n replays one history; OPS=n changes its length; OPERATIONS=n how many there are in all. */
const replay = process.env.SEED
const length = Number(process.env.OPS ?? 850)
const wanted = Number(process.env.OPERATIONS ?? 20_400)

if (replay !== undefined) {
  test(`the history of seed ${replay}`, async t => t.diagnostic(JSON.stringify(await history(Number(replay), length))))
} else {
  test('random histories from fresh seeds: no address twice, none taken from its holder, nothing leaked, nobody stuck', async t => {
    const base = Math.floor(Math.random() * 2 ** 30)
    const total = { histories: 0, operations: 0, steps: 0, adds: 0, failedAdds: 0, cloudCalls: 0 }
    while (total.operations < wanted) {
      const seed = base + total.histories
      const o = await history(seed, length).catch((e: unknown) => {
        if (e instanceof Error) e.message += `\nreplay with: SEED=${seed} OPS=${length} make test-simulation`
        throw e
      })
      total.histories += 1
      for (const key of ['operations', 'steps', 'adds', 'failedAdds', 'cloudCalls'] as const) total[key] += o[key]
    }
    t.diagnostic(`seeds ${base}..${base + total.histories - 1}: ${JSON.stringify(total)}`)
    assert.ok(total.adds > total.histories * 30, `only ${total.adds} ADDs succeeded: the simulated cluster does not work`)
  })

  test('the same seed is the same history', async () => {
    assert.deepEqual(await history(7, 120), await history(7, 120))
  })
}
