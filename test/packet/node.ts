// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import type { MapName } from '#kernel/bpf/maps.ts'
import { control, dropReasons, path } from '#kernel/bpf/words.ts'
import { nextPolicies } from '#kernel/policies.ts'
import { expected } from './oracle/oracle.ts'
import type { Arrival, Outcome } from './oracle/step.ts'
import { type Counters, type Machine, now, type Ran } from './run.ts'
import { sumsAreRight } from './sums.ts'
import type { Packet } from './topology.ts'
import { type Change, changed, changing, lines, mapNames, row, rowOf, type World } from './world.ts'

/** A path when the packet passes or is redirected, a reason when it is dropped; `uncounted`: as if there were no program. */
export type Fate = keyof typeof path | keyof typeof dropReasons | 'uncounted'

/**
 * Maps, real and imagined, through one packet after the other: both have to agree on everything after each. That a packet changes no map which it
 * must not is looked after by the fuzzer.
 */
export class Node {
  readonly #machine: Machine
  #world: World
  #counters: Counters

  constructor(machine: Machine, rows: readonly Change[]) {
    this.#machine = machine
    const all = withPolicies({}, rows)
    this.#world = changed({}, all)
    machine.write(all)
    this.#counters = machine.counters()
  }

  get world(): World {
    return this.#world
  }

  change(...rows: readonly Change[]): void {
    const all = withPolicies(this.#world, rows)
    this.#machine.apply(all)
    this.#world = changed(this.#world, all)
  }

  /** Sends a packet through its program, which has to do with it what is expected: one of several, where chance decides. */
  meet({ program, arrival }: Packet, ...fates: readonly [Fate, ...Fate[]]): Outcome {
    const at = now()
    const ran = this.#machine.run(program, arrival, at)
    const real = this.#machine.read(changing)
    const outcome = expected(program, this.#world, arrival, at, { reason: ran.said[0], row: (map, key) => rowOf(real, map, key) })
    const show = `\n${program} ${JSON.stringify({ ...arrival, packet: arrival.packet.toString('hex'), time: undefined })}`
    const fate = fates.find(fate => fateOf(ran) === (fate === 'uncounted' ? 'none' : fate)) ?? fates[0]
    assert.equal(fateOf(ran), fate === 'uncounted' ? 'none' : fate, `what came out${show}`)
    assert.equal(fateOfOutcome(outcome), fate, `what the oracle says${show}`)
    assertSame(ran, outcome, show)
    assertSums(arrival, ran, show)
    this.#world = changed(this.#world, outcome.changes)
    assert.deepEqual(differences(real, this.#world, changing), [], `maps${show}`)
    this.#assertCounted(outcome, arrival.packet.length, show)
    return outcome
  }

  #assertCounted(outcome: Outcome, length: number, show: string): void {
    const counters = this.#machine.counters()
    const added = (table: readonly string[], key: number | undefined, amounts: readonly number[]) =>
      key === undefined ? table : add(table, key, amounts)
    const reason = outcome.reason === 0 ? undefined : outcome.reason
    const wanted: Counters = {
      drops: added(this.#counters.drops, reason, [1, length]),
      paths: added(this.#counters.paths, outcome.path, [1, length]),
      endpoints: outcome.counted.reduce(
        (table, { ifIndex, way }) => add(table, ifIndex, way === 'tx' ? [1, length, 0, 0] : [0, 0, 1, length]),
        this.#counters.endpoints,
      ),
    }
    assert.deepEqual(counters, wanted, `counters${show}`)
    this.#counters = counters
  }
}

/** Whoever changes a policy says so, unless a case does it itself. */
function withPolicies(world: World, rows: readonly Change[]): readonly Change[] {
  const index = control.policies
  const isTold = rows.some(({ map, key }) => map === 'control' && 'index' in key && key.index === index)
  if (isTold || !rows.some(({ map }) => map === 'endpoint_policies')) return rows
  return [...rows, row('control', { index }, { value: nextPolicies(rowOf(world, 'control', { index })?.value ?? 0n) })]
}

/** What only one of two worlds has. */
export function differences(real: World, wanted: World, maps: readonly MapName[] = mapNames): string[] {
  const [is, should] = [new Set(lines(real, maps)), new Set(lines(wanted, maps))]
  const only = (word: string, these: ReadonlySet<string>, those: ReadonlySet<string>) =>
    [...these].filter(line => !those.has(line)).map(line => `${word}: ${line}`)
  return [...only('is', is, should), ...only('should be', should, is)]
}

function add(table: readonly string[], key: number, amounts: readonly number[]): string[] {
  const rows = new Map(table.map(line => [Number(line.split(':')[0]), line.split(': ')[1]?.split(' ').map(Number) ?? []]))
  const old = rows.get(key) ?? []
  rows.set(
    key,
    amounts.map((n, i) => n + (old[i] ?? 0)),
  )
  return [...rows].sort(([a], [b]) => a - b).map(([k, sums]) => `${k}: ${sums.join(' ')}`)
}

const nameOf = (names: Readonly<Record<string, number>>, n: number) => Object.keys(names).find(name => names[name] === n) ?? `${n}`
const verdicts: Readonly<Record<number, Outcome['verdict']>> = { [-1]: 'pass', 2: 'drop', 7: 'redirect' }

/** The programs say nothing of what they do not count, so a packet that passes uncounted looks like one of path 0. */
export function fateOf({ verdict, said: [reason, way] }: Ran): string {
  if (reason !== 0) return nameOf(dropReasons, reason)
  return verdicts[verdict] === undefined ? `verdict ${verdict}` : nameOf(path, way)
}

export function fateOfOutcome(outcome: Outcome): string {
  if (outcome.reason !== 0) return nameOf(dropReasons, outcome.reason)
  return outcome.path === undefined ? 'uncounted' : nameOf(path, outcome.path)
}

/** Everything that can be seen of a packet after a program, but for maps. */
export function assertSame(ran: Ran, outcome: Outcome, show: string): void {
  const wanted = {
    verdict: outcome.verdict,
    reason: outcome.reason,
    path: outcome.verdict === 'drop' ? 0 : (outcome.path ?? 0),
    target: outcome.target,
    ...(outcome.verdict !== 'drop' && { mark: outcome.mark, time: outcome.time, packet: outcome.packet.toString('hex') }),
  }
  const [reason, way, target] = ran.said
  const real = {
    verdict: verdicts[ran.verdict],
    reason,
    path: outcome.verdict === 'drop' ? 0 : way,
    target,
    ...(outcome.verdict !== 'drop' && { mark: ran.mark, time: ran.time, packet: ran.packet.toString('hex') }),
  }
  assert.deepEqual(real, wanted, `packet and verdict${show}`)
}

/** A packet whose checksums are right comes out with right ones. */
export function assertSums({ packet, gsoSize }: Arrival, ran: Ran, show: string): void {
  assert.ok(!sumsAreRight(packet, gsoSize) || sumsAreRight(ran.packet, gsoSize), `checksums${show}`)
}
