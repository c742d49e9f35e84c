// SPDX-License-Identifier: Apache-2.0
import type { ProgramName } from '#kernel/bpf/object.ts'
import type { World } from '../world.ts'
import { eniIn } from './eni-in.ts'
import { nodeIn } from './node-in.ts'
import { nodeOut } from './node-out.ts'
import { podIn } from './pod-in.ts'
import { podOut } from './pod-out.ts'
import { type Arrival, type Observed, type Outcome, Step } from './step.ts'

const programs: Partial<Record<ProgramName, (step: Step) => Outcome>> = {
  pod_in: podIn,
  pod_out: podOut,
  eni_in: eniIn,
  node_in: nodeIn,
  node_out: nodeOut,
}

/** What a program has to do with a packet: written from what it is for, not from its code. `now` is in units of 2^20 ns. */
export function expected(program: ProgramName, world: World, arrival: Arrival, now: number, seen: Observed): Outcome {
  const run = programs[program]
  if (run === undefined) throw new Error(`${program} has no oracle`)
  return run(new Step(world, arrival, now, seen))
}
