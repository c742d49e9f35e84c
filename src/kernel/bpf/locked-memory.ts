// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { release } from 'node:os'
import { KernelError } from '#kernel/port.ts'

/** Bytes of all maps and programs, and some more: such a kernel counts a map as full, also one that takes memory as entries come. */
const needed = 192 * 2 ** 20
/** CAP_SYS_RESOURCE. */
const mayRaise = 1n << 24n

/** What decides about the memory of maps: `limits` and `status` are the texts of /proc/self. */
export interface MemoryFacts {
  readonly release: string
  readonly limits: string
  readonly status: string
}

export function memoryFacts(): MemoryFacts {
  return { release: release(), limits: readFileSync('/proc/self/limits', 'latin1'), status: readFileSync('/proc/self/status', 'latin1') }
}

/** Before Linux 5.11 maps count as locked memory; small ones, as in a trial, are made all the same. Throws KernelError that says the way out. */
export function requireLockedMemory({ release, limits, status }: MemoryFacts): void {
  const [major = 0, minor = 0] = release.split('.').map(Number)
  if (major > 5 || (major === 5 && minor >= 11)) return
  const [, soft = 'unlimited', hard = 'unlimited'] = /^Max locked memory\s+(\w+)\s+(\w+)/m.exec(limits) ?? []
  const [, capabilities = '0'] = /^CapEff:\s*([0-9a-f]+)/m.exec(status) ?? []
  // The limit is raised to none, which is free under a hard limit of none.
  if (hard === 'unlimited' || Number(soft) >= needed || (BigInt(`0x${capabilities}`) & mayRaise) !== 0n) return
  const wayOut = 'set LimitMEMLOCK=infinity for the container runtime, or add the capability SYS_RESOURCE (value terway.extraCapabilities)'
  throw new KernelError(
    'kernel-refused',
    `Linux ${release} counts maps as locked memory, of which this process may have ${soft} bytes: ${wayOut}`,
  )
}
