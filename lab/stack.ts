// SPDX-License-Identifier: Apache-2.0
import { type Stack, stacks } from '../src/net/stack.ts'

/** What a user wrote as `name`; `ipv4` when that is nothing. */
export function stackFrom(name: string, text: string | undefined): Stack {
  const found = stacks.find(stack => stack === (text || 'ipv4'))
  if (found === undefined) throw new Error(`${name} ${text}: one of ${stacks.join(', ')}`)
  return found
}
