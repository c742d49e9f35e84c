// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { mode } from '#kernel/bpf/words.ts'
import { Chance } from '../../support/chance.ts'
import { generator } from '../../support/generator.ts'
import { assertSame, assertSums, differences, fateOf } from '../node.ts'
import { expected } from '../oracle/oracle.ts'
import { anyNodeChange, anyNodePacket, anyNodeRows, damaged } from '../random-node.ts'
import { Machine, now } from '../run.ts'
import { serviceIs } from '../services.ts'
import * as t from '../topology.ts'
import { changed, changesOf, rowOf, type World } from '../world.ts'

/** SEED=n replays what failed. */
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 30))
const machine = new Machine()
after(() => machine[Symbol.dispose]())

/** A packet, compared in everything. */
function meet(world: World, { program, arrival }: t.Packet): { readonly world: World; readonly fate: string } {
  const at = now()
  const ran = machine.run(program, arrival, at)
  const real = machine.read()
  const outcome = expected(program, world, arrival, at, { reason: ran.said[0], row: (map, key) => rowOf(real, map, key) })
  const show = ` of ${program} ${JSON.stringify({ ...arrival, packet: arrival.packet.toString('hex'), time: undefined })}`
  assertSame(ran, outcome, `${show}: ${fateOf(ran)}, but the oracle says ${outcome.reason || outcome.path}`)
  assertSums(arrival, ran, show)
  const wanted = changed(world, outcome.changes)
  assert.deepEqual(differences(real, wanted), [], `maps${show}`)
  return { world: wanted, fate: fateOf(ran) }
}

test('whatever clients, backends and processes do, the programs of the node do what the oracle says', context => {
  const chance = new Chance(generator(seed))
  const fates = new Map<string, number>()
  for (let round = 0; round < 6; round++) {
    let world = changed({}, anyNodeRows(chance))
    machine.write(changesOf(world))
    for (let n = 0; n < 150; n++) {
      try {
        const met = meet(world, anyNodePacket(chance, world))
        world = met.world
        fates.set(met.fate, (fates.get(met.fate) ?? 0) + 1)
      } catch (e) {
        throw new Error(`round ${round}, packet ${n}; replay with SEED=${seed}`, { cause: e })
      }
      if (!chance.rarely(4)) continue
      const more = anyNodeChange(chance, world)
      machine.apply(more)
      world = changed(world, more)
    }
  }
  context.diagnostic(`seed ${seed}: ${[...fates].map(([fate, count]) => `${fate} ${count}`).join(', ')}`)
})

test('what is nothing of a Service passes as it is, however broken, and leaves nothing behind', () => {
  const chance = new Chance(generator(seed))
  const rows = [
    ...t.nodeRows(),
    t.nodeIs(),
    ...serviceIs({ ip: t.hostCidr[4], port: 80, protocol: 6, scope: 'outside', frontend: 1, set: 1 }),
  ]
  for (const bits of [mode.service, t.everything | mode.service]) {
    machine.write([...rows, t.modeIs(bits)])
    const before = machine.read()
    const counters = machine.counters()
    for (let n = 0; n < 4000; n++) {
      const some = anyNodePacket(chance)
      const { program, arrival } = chance.rarely(3) ? damaged(chance, damaged(chance, some)) : some
      const rubbish = Buffer.from(arrival.packet)
      if (chance.rarely(5)) for (let i = 14; i < rubbish.length; i++) rubbish[i] = chance.below(256)
      // The kernel runs no program on less than the fixed header of IP.
      const packet = rubbish.subarray(
        0,
        chance.rarely(5) ? Math.max(rubbish[12] === 0x86 ? 54 : 34, chance.below(rubbish.length)) : undefined,
      )
      const ran = machine.run(program, { ...arrival, packet })
      const show = `SEED=${seed} ${program} ${packet.toString('hex')}`
      assert.deepEqual([ran.verdict, ran.mark, ran.time], [-1, arrival.mark ?? 0, arrival.time ?? 0n], show)
      assert.deepEqual(ran.packet, packet, show)
    }
    assert.deepEqual(differences(machine.read(), before), [])
    assert.deepEqual(machine.counters(), counters)
  }
})
