// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { block } from '#kernel/bpf/words.ts'
import type { DatapathLab } from './datapath-lab.ts'

/** What the kernel changes of itself: how many connections it knows, and link-local addresses, which take a second to settle. */
const ofItself = /conntrack_count|fe80:/
/** Of a program, another one each time that it is loaded. */
const numberOfProgram = / id \d+ /

/** All that a program, or who loads it, may leave behind on a node: devices, routes, filters, settings, pins. */
export function tracesOn(lab: DatapathLab): readonly string[] {
  const families = ['-4', '-6']
  const commands = [
    'tc qdisc show',
    ...families.flatMap(family => [`ip ${family} rule`, `ip ${family} route show table all`, `ip ${family} addr`]),
    'nft list ruleset',
    'sysctl -a --pattern ^net\\.',
  ]
  const lines = commands.flatMap(command => lab.run('host', command).split('\n'))
  const pins = existsSync(lab.pinDirectory) ? [lab.pinDirectory, ...lab.pins()] : []
  return [...lines.filter(line => !ofItself.test(line)), ...Object.values(block).flatMap(b => filtersOf(lab, b)), ...pins]
}

function filtersOf(lab: DatapathLab, number: number): readonly string[] {
  try {
    return lab
      .run('host', `tc filter show block ${number}`)
      .split('\n')
      .map(line => line.replace(numberOfProgram, ' '))
  } catch {
    // No device joins it.
    return []
  }
}
