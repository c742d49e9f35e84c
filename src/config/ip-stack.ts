// SPDX-License-Identifier: Apache-2.0
import type { Fields } from '#config/fields.ts'
import { type Stack, stacks } from '#net/stack.ts'

/** Absent or empty = ipv4, as with Terway; another word is wrong. */
export function readStack(f: Fields, key: string): Stack {
  const text = f.text(key, '') || 'ipv4'
  const stack = stacks.find(s => s === text)
  if (stack === undefined) f.wrong(key, `is ${JSON.stringify(text)}, must be ipv4, dual or ipv6`)
  return stack ?? 'ipv4'
}
