// SPDX-License-Identifier: Apache-2.0
// Where the time of a round trip, a connection, a stream goes: what runs on the CPU that does nothing else is looked at some thousand times a second.
import { type ExecFileSyncOptionsWithStringEncoding, execFileSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { amount } from '../measure/machine.ts'
import { type Row, row } from '../measure/row.ts'
import type { Way, Work } from './cells.ts'
import { commandOf, type Ends, type Result } from './load.ts'
import { cases, profiled, profileFigure } from './profile-figures.ts'
import { type Part, parts, sharesOf } from './stacks.ts'

const ms = amount(800, 200)
const rounds = amount(3, 1)
const samplesEachSecond = 2999

/** Each case in turn, some rounds long. */
export function profileRows(endsOf: (cell: { readonly way: Way; readonly family: 4; readonly work: Work }) => Ends): readonly Row[] {
  const found = new Map<string, number[]>()
  for (let round = 0; round < rounds; round++) {
    for (const { work, name } of cases) {
      const { us, shares } = looked(work, endsOf({ way: profiled[name], family: 4, work }))
      for (const part of parts) {
        const figure = profileFigure(work, name, part)
        found.set(figure, [...(found.get(figure) ?? []), us * shares[part]])
      }
    }
  }
  return [...found].map(([figure, values]) => row(figure, values))
}

/** Both ends share a CPU that is never idle: a part of the samples is a part of the time. */
function looked(work: Work, ends: Ends): { readonly us: number; readonly shares: Readonly<Record<Part, number>> } {
  const file = join(mkdtempSync(join(tmpdir(), 'perf-')), 'data')
  // It starts on the CPU that is looked at, else its name would not be known there.
  const record = [
    'record',
    '-q',
    '-C',
    '0',
    '-e',
    'cpu-clock',
    '-F',
    String(samplesEachSecond),
    '-g',
    '-o',
    file,
    '--',
    'taskset',
    '-c',
    '0',
  ]
  const options: ExecFileSyncOptionsWithStringEncoding = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 2 ** 28 }
  const { count, gigabits }: Result = JSON.parse(execFileSync('perf', [...record, ...commandOf({ work, cpus: 1 }, ends, { ms })], options))
  const script = execFileSync('perf', ['script', '-i', file, '-F', 'comm,ip,sym'], options)
  const megabytes = (gigabits * ms) / 8
  return { us: (ms * 1000) / (work === 'stream' ? megabytes : count), shares: sharesOf(script, 'pingpong') }
}
