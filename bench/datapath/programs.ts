// SPDX-License-Identifier: Apache-2.0
import { closeSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { ProgramName } from '#kernel/bpf/object.ts'
import { openPin } from '#kernel/ffi-bpf.ts'
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
  return (after.ns - before.ns) / (after.count - before.count) / 1000
}

function runsOf(pins: string, program: ProgramName): Runs {
  const path = readdirSync(pins, { recursive: true, encoding: 'utf8' }).find(found => basename(found) === program)
  const fd = openPin(join(pins, path ?? program))
  if (fd === undefined) throw new Error(`${pins} has no program ${program}`)
  const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
  closeSync(fd)
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)$`, 'm').exec(info)?.[1])
  return { ns: field('run_time_ns'), count: field('run_cnt') }
}
