// SPDX-License-Identifier: Apache-2.0
import { familiesOf, type Stack } from '../src/net/stack.ts'

interface Range {
  readonly cidr: string
  /** Of the Service `kubernetes`: the first address of the range. */
  readonly api: string
  /** Where a resolver would answer; the lab runs none. */
  readonly dns: string
}

const ranges: Readonly<Record<4 | 6, Range>> = {
  4: { cidr: '172.21.0.0/20', api: '172.21.0.1', dns: '172.21.0.10' },
  // No larger than the API server takes for IPv6.
  6: { cidr: 'fd00:172:21::/108', api: 'fd00:172:21::1', dns: 'fd00:172:21::a' },
}

/** Addresses of Services in a lab. The first family is the primary one: of the Service `kubernetes`, and of Services that ask for none. */
export function serviceRange(stack: Stack): { readonly cidrs: readonly string[]; readonly api: string; readonly dns: string } {
  const [primary = 4] = familiesOf(stack)
  return { ...ranges[primary], cidrs: familiesOf(stack).map(family => ranges[family].cidr) }
}
