// SPDX-License-Identifier: Apache-2.0

/** Which families pods and Services have (`ip_stack`). Nodes always have IPv4, for control and metadata. */
export type Stack = 'ipv4' | 'ipv6' | 'dual'
export const stacks: readonly Stack[] = ['ipv4', 'dual', 'ipv6']

const families: Readonly<Record<Stack, readonly (4 | 6)[]>> = { ipv4: [4], dual: [4, 6], ipv6: [6] }

export function familiesOf(stack: Stack): readonly (4 | 6)[] {
  return families[stack]
}

/** The stack of a Node CR's `spec.eni`, with the defaults of Terway's CRD. */
export function stackOf(eni: { readonly enableIPv4?: boolean; readonly enableIPv6?: boolean } | undefined): Stack {
  const v6 = eni?.enableIPv6 ?? false
  if (!v6) return 'ipv4'
  return (eni?.enableIPv4 ?? true) ? 'dual' : 'ipv6'
}

/** How many pods the given addresses could serve: in dual stack each pod takes a pair. */
export function podsServed(stack: Stack, v4: number, v6: number): number {
  return stack === 'dual' ? Math.min(v4, v6) : stack === 'ipv6' ? v6 : v4
}
