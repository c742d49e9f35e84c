// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import type { State } from './state.ts'

/** The next number of the state; every id, MAC address and creation order comes from it. */
export function nextNumber(state: State): number {
  const next = state.get('counter', 'counter')?.next ?? 1
  state.put('counter', { id: 'counter', next: next + 1 })
  return next
}

/** An id as ECS forms them: `eni-bp1` and 17 characters of base 36. Unguessable, but the same for the same seed. */
export function resourceId(state: State, prefix: string, n: number): string {
  const digest = createHash('sha256').update(`${state.settings.seed}/${prefix}/${n}`).digest('hex')
  return `${prefix}-bp1${BigInt(`0x${digest}`).toString(36).slice(0, 17)}`
}

/** 00:16:3e is the vendor prefix that ECS uses. The odd factor permutes the 24 bits, so that no two numbers share an address. */
export function macAddress(n: number): string {
  const low = Number((BigInt(n) * 0x9e3779n) & 0xffffffn)
  return [0x00, 0x16, 0x3e, low >> 16, (low >> 8) & 255, low & 255].map(byte => byte.toString(16).padStart(2, '0')).join(':')
}
