// SPDX-License-Identifier: Apache-2.0
import type { Stack } from '../src/ipam/pool.ts'

/** Which families pods and Services of a lab have. Its machines always have IPv4, for control and metadata. */
export const stacks: readonly Stack[] = ['ipv4', 'dual', 'ipv6']

const families: Readonly<Record<Stack, readonly (4 | 6)[]>> = { ipv4: [4], dual: [4, 6], ipv6: [6] }

export function familiesOf(stack: Stack): readonly (4 | 6)[] {
  return families[stack]
}

/** What a user wrote as `name`; `ipv4` when that is nothing. */
export function stackFrom(name: string, text: string | undefined): Stack {
  const found = stacks.find(stack => stack === (text || 'ipv4'))
  if (found === undefined) throw new Error(`${name} ${text}: one of ${stacks.join(', ')}`)
  return found
}
