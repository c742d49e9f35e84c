// SPDX-License-Identifier: Apache-2.0
import type { EniMode } from '#kube/crd/node.ts'
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

/** Of machines whose pods have an ENI each: seven of them for pods. */
const manyEnis = typeOf('ecs.g7.4xlarge')

/** Where machines of both kinds are, which one a machine is of. */
export function typeFor(variant: Variant, mode: EniMode): InstanceType {
  return mode === 'exclusive' ? manyEnis : variant.type
}

/** Pods that a machine can hold. */
export function capacityOf(variant: Variant, mode: EniMode): number {
  const { eniQuantity, ipv4PerEni, ipv6PerEni } = typeFor(variant, mode)
  return (eniQuantity - 1) * (mode === 'exclusive' ? 1 : podsServed(variant.stack, ipv4PerEni, ipv6PerEni))
}

function typeOf(id: string): InstanceType {
  const type = instanceTypes.find(t => t.id === id)
  if (type === undefined) throw new Error(`no instance type ${id}`)
  return type
}
