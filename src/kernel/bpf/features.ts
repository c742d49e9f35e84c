// SPDX-License-Identifier: Apache-2.0
import { callingProgram } from '#kernel/bpf/instruction.ts'
import type { BpfObject } from '#kernel/bpf/object.ts'
import { classifier } from '#kernel/bpf/programs.ts'
import { close } from '#kernel/ffi.ts'
import { loadProgram } from '#kernel/ffi-bpf.ts'

/** What the programs do with where the kernel has it: the constant that says so, and the helper. */
const optional = { coarse_clock: 160 } as const

/** The constants of an object by which its programs know this kernel. */
export function featuresOf({ rodata }: Pick<BpfObject, 'rodata'>): Readonly<Record<string, number>> {
  const known = Object.entries(optional).filter(([name]) => name in rodata.variables)
  return Object.fromEntries(known.map(([name, helper]) => [name, hasHelper(helper) ? 1 : 0]))
}

function hasHelper(id: number): boolean {
  try {
    close(loadProgram('probe', classifier, callingProgram(0, { id, numbers: [] })))
    return true
  } catch {
    return false
  }
}
