// SPDX-License-Identifier: Apache-2.0
import { readSeed } from '../../sim/seed.ts'
import type { Seed } from '../../sim/seed-schema.ts'
import { Simulator } from '../../sim/simulator.ts'
import { until } from '../support/until.ts'

export const key = { id: 'LTAI-lab-admin', secret: 'lab-admin-secret' }

/** A simulated cloud of the demo seed on a free loopback port, ended with `await using`. */
export async function startSim(changes: Partial<Seed> = {}) {
  const simulator = new Simulator({ seed: { ...readSeed('sim/seeds/demo.yaml'), ...changes } })
  const { port } = await simulator.listen({ host: '127.0.0.1', port: 0 })
  return { simulator, endpoint: `127.0.0.1:${port}`, port, [Symbol.asyncDispose]: () => simulator.stop() }
}

/** Asks until the answer is there. */
export async function eventually<T>(what: string, ask: () => Promise<T | undefined> | T | undefined): Promise<T> {
  let got: T | undefined
  await until(async () => {
    got = await ask()
    return got !== undefined
  }, what)
  return got as T
}
