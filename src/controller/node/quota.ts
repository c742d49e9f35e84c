// SPDX-License-Identifier: Apache-2.0
import { podEnis } from '#controller/node/limits.ts'
import { perEniOf } from '#ipam/pool.ts'
import type { EniMode, NodeSpec } from '#kube/crd/node.ts'
import { podsServed, stackOf } from '#net/stack.ts'

/** What the numbers of an instance type cost a node whose pods have IPv6 addresses, and the way out; undefined when nothing. */
export function quotaNotice(spec: NodeSpec, mode: EniMode = 'shared'): string | undefined {
  const stack = stackOf(spec.eni)
  if (spec.nodeCap === undefined || stack === 'ipv4') return undefined
  const { ipv4PerAdapter: v4 = 0, ipv6PerAdapter: v6 = 0 } = spec.nodeCap
  const type = `instance type ${spec.nodeMetadata?.instanceType ?? ''}`
  if (stack === 'ipv6') {
    return v6 > 0 ? undefined : `${type} has no IPv6 addresses: this node serves no pod; use a type that has, or ip_stack ipv4`
  }
  const { capacity4, capacity6 } = perEniOf(spec, mode)
  if (capacity4 === capacity6) return undefined
  const pods = (perEni: number) => podEnis(spec) * perEni
  const served = podsServed(stack, capacity4, capacity6)
  const what = served === 0 ? 'serves no pod' : `serves ${pods(served)} pods instead of ${pods(Math.max(v4, v6))}`
  const numbers = `${type} has ${v4} IPv4 and ${v6} IPv6 addresses per ENI`
  return `${numbers}: a dual-stack pod needs one of each, so this node ${what}; use a type with equal numbers, or ip_stack ${v4 > v6 ? 'ipv4' : 'ipv6'}`
}
