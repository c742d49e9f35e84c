// SPDX-License-Identifier: Apache-2.0
import { podsServed, type Stack } from '#net/stack.ts'
import { type InstanceType, instanceTypes } from '#sim/model/instance-types.ts'

/** What pods have in a history, and what its machines can hold. */
export interface Variant {
  readonly stack: Stack
  readonly type: InstanceType
}

/** 4 ENIs of 10 addresses of each family: three of them for pods. */
const even = typeOf('ecs.lab.medium')
/** Pairs end where the smaller number does. */
export const uneven: InstanceType = { ...even, id: 'ecs.lab.six', ipv6PerEni: 6 }

const variants: readonly Variant[] = [
  { stack: 'ipv4', type: even },
  { stack: 'dual', type: even },
  { stack: 'ipv6', type: even },
  { stack: 'dual', type: uneven },
]

/** One after the other, so that neighbouring seeds are all of them; without a draw, so that all else that a seed decides stays. */
export function variantOf(seed: number): Variant {
  return variants[seed % variants.length] ?? { stack: 'ipv4', type: even }
}

/** Pods that a machine can hold. */
export function capacityOf({ stack, type }: Variant): number {
  return (type.eniQuantity - 1) * podsServed(stack, type.ipv4PerEni, type.ipv6PerEni)
}

function typeOf(id: string): InstanceType {
  const type = instanceTypes.find(t => t.id === id)
  if (type === undefined) throw new Error(`no instance type ${id}`)
  return type
}
