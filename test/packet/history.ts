// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { Chance } from '../support/chance.ts'
import { generator } from '../support/generator.ts'
import { Asked, goesOn } from './invariants.ts'
import { assertSame, assertSums, differences, fateOf } from './node.ts'
import { flowKeyOf } from './oracle/flow.ts'
import { expected } from './oracle/oracle.ts'
import { read } from './oracle/read.ts'
import type { Arrival, Observed } from './oracle/step.ts'
import { anyChange, anyNode, anyPacket } from './random.ts'
import type { Machine, Ran } from './run.ts'
import type { Packet } from './topology.ts'
import { type Change, changed, changesOf, idOf, lines, type World } from './world.ts'

/** After so many packets something changes in the maps, and everything is compared. */
const between = 30
/** In units of `seen`: some ms or so from packet to packet, and now and then as long as a flow that nobody answers is remembered. */
const pauses = { usual: 30, long: 70 * 1000 } as const

/** A node by chance, and what it meets. Returns how often each fate came out. */
export function history(machine: Machine, seed: number, length: number): Map<string, number> {
  const chance = new Chance(generator(seed))
  const fates = new Map<string, number>()
  const asked = new Asked()
  // Time is an input as all else, and its numbers begin again while somebody looks.
  let now = (2 ** 32 - chance.below(10 * pauses.long)) >>> 0
  let world = changed({}, anyNode(chance, now))
  machine.write(changesOf(world))
  for (let i = 0; i < length; i++) {
    now = (now + 1 + chance.below(chance.rarely(40) ? pauses.long : pauses.usual)) >>> 0
    const packet = anyPacket(chance, world)
    try {
      const { changes, fate, packet: after } = meet(machine, world, packet, now)
      fates.set(fate, (fates.get(fate) ?? 0) + 1)
      asked.follow({ world, changes, ...packet, after, fate })
      world = changed(world, changes)
      if (i % between !== between - 1) continue
      assert.deepEqual(differences(machine.read(), world), [], 'all maps')
      const more = Array.from({ length: 1 + chance.below(3) }, () => anyChange(chance, now)).flat()
      machine.apply(more)
      world = changed(world, more)
    } catch (e) {
      throw new Error(`packet ${i}: ${shown(packet)}\nreplay with: SEED=${seed} make test-packet`, { cause: e })
    }
  }
  return fates
}

function shown({ program, arrival }: Packet): string {
  const { packet, time, ...rest } = arrival
  return `${program} ${JSON.stringify(rest)} ${packet.toString('hex')}`
}

/** One packet, compared in everything that it can have changed. */
function meet(
  machine: Machine,
  world: World,
  { program, arrival }: Packet,
  at: number,
): { readonly changes: readonly Change[]; readonly fate: string; readonly packet: Buffer | undefined } {
  const ran = machine.run(program, arrival, at)
  const outcome = expected(program, world, arrival, at, observed(machine, ran))
  const fate = fateOf(ran)
  assertSame(ran, outcome, `: ${fate}, but the oracle says ${outcome.verdict} ${outcome.reason || outcome.path}`)
  assertSums(arrival, ran, '')
  const touched = [...outcome.changes, ...flowsOf(arrival)]
  const real = changed(
    {},
    touched.map(change => machine.row(change)),
  )
  const wanted = changed({}, [...touched.map(change => rowIn(world, change)), ...outcome.changes])
  assert.deepEqual(lines(real), lines(wanted), `the rows of this packet: ${fate}`)
  if (outcome.reason !== 0) assert.ok(!goesOn(world, program, arrival, outcome.reason, at), `cut a flow that was open: ${fate}`)
  return { changes: outcome.changes, fate, packet: outcome.reason === 0 ? ran.packet : undefined }
}

function observed(machine: Machine, { said }: Ran): Observed {
  return { reason: said[0], row: (map, key) => machine.row({ map, key, value: undefined } as unknown as Change).value as never }
}

/** The entries that a packet could be of, whichever side it came from. */
function flowsOf({ packet, gsoSize = 0 }: Arrival): Change[] {
  const it = read(packet, gsoSize)
  if (it.is !== 'packet') return []
  const keys = (['local', 'remote'] as const).map(sends => flowKeyOf(it, sends))
  return keys.flatMap(key => (['flows', 'new_flows'] as const).map(map => ({ map, key, value: undefined }) as unknown as Change))
}

function rowIn(world: World, change: Change): Change {
  return { ...change, value: world[change.map]?.get(idOf(change.map, change.key))?.value }
}
