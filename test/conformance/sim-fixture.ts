// SPDX-License-Identifier: Apache-2.0
import { readSeed } from '../../sim/seed.ts'
import type { Seed } from '../../sim/seed-schema.ts'
import { Simulator } from '../../sim/simulator.ts'

export const key = { id: 'LTAI-lab-admin', secret: 'lab-admin-secret' }

/** A simulated cloud of the demo seed on a free loopback port, ended with `await using`. */
export async function startSim(changes: Partial<Seed> = {}) {
  const simulator = new Simulator({ seed: { ...readSeed('sim/seeds/demo.yaml'), ...changes } })
  const { port } = await simulator.listen({ host: '127.0.0.1', port: 0 })
  return { simulator, endpoint: `127.0.0.1:${port}`, port, [Symbol.asyncDispose]: () => simulator.stop() }
}

/** Asks until the answer is there; fails after `ms`. */
export async function eventually<T>(what: string, ask: () => Promise<T | undefined> | T | undefined, ms = 10_000): Promise<T> {
  const deadline = Date.now() + ms
  for (;;) {
    const got = await ask()
    if (got !== undefined) return got
    if (Date.now() > deadline) throw new Error(`timed out: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 30))
  }
}
