// SPDX-License-Identifier: Apache-2.0
import { closeSync, globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { ProgramName } from '#kernel/bpf/object.ts'
import { openPin } from '#kernel/ffi-bpf.ts'
import type { Result } from './load.ts'
import type { MadeNode } from './node.ts'

interface Runs {
  readonly ns: number
  readonly count: number
}

/** Mean time of a run of this node's program while `fn` has the kernel count it, in microseconds. */
export function timeOfRun({ pins }: MadeNode, program: ProgramName, fn: () => void): number {
  const before = runsOf(pins, program)
  fn()
  const after = runsOf(pins, program)
  if (after.count === before.count) throw new Error(`${program} did not run`)
  return (after.ns - before.ns) / (after.count - before.count) / 1000
}

/** Time in all programs of these nodes for each round trip or connection, in microseconds. */
export function timePerTrip(nodes: readonly MadeNode[], fn: () => Result): number {
  const all = () => nodes.reduce((sum, { pins }) => sum + runsOf(pins).ns, 0)
  const before = all()
  const { count } = fn()
  if (count === 0) throw new Error('nothing came back')
  return (all() - before) / count / 1000
}

/** Of this program, or of all. */
function runsOf(pins: string, program?: ProgramName): Runs {
  const files = globSync(join(pins, 'programs', '*', '*')).filter(path => program === undefined || basename(path) === program)
  return files.map(runsAt).reduce((a, b) => ({ ns: a.ns + b.ns, count: a.count + b.count }))
}

function runsAt(path: string): Runs {
  const fd = openPin(path)
  if (fd === undefined) throw new Error(`${path} is no program`)
  const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
  closeSync(fd)
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)$`, 'm').exec(info)?.[1])
  return { ns: field('run_time_ns'), count: field('run_cnt') }
}
