// SPDX-License-Identifier: Apache-2.0
import { instanceTypeOf } from '#cloud/ecs.ts'
import type { Cloud, InstanceType } from '#cloud/port.ts'
import { replyOf } from '#cloud/reply.ts'
import { perEniOf } from '#ipam/pool.ts'
import type { EniMode, NodeSpec } from '#kube/crd/node.ts'
import type { Node } from '#kube/reflect/node.ts'
import type { Clock } from '#lib/clock.ts'
import { podsServed, stackOf } from '#net/stack.ts'

export type Capacity = NonNullable<NodeSpec['nodeCap']>

/** What an instance type allows, in the fields of Terway's Node CR. */
export function capacityOf(t: InstanceType): Capacity {
  const members = t.trunkSupported ? Math.max(0, t.eniTotalQuantity - t.eniQuantity) : 0
  return {
    adapters: t.eniQuantity,
    totalAdapters: t.eniTotalQuantity,
    ipv4PerAdapter: t.ipv4PerEni,
    ipv6PerAdapter: t.ipv6PerEni,
    memberAdapterLimit: members,
    maxMemberAdapterLimit: t.trunkSupported ? Math.max(0, t.eniTotalQuantity - 2) : 0,
    eriQuantity: erdmaCards(t),
    instanceBandwidthRx: t.bandwidthRx,
    instanceBandwidthTx: t.bandwidthTx,
    networkCards: t.networkCards.map(index => ({ index })),
    networkCardsCount: t.networkCards.length,
  }
}

/** RDMA cards that Terway uses: none on small instances, two on large ones. */
function erdmaCards(t: InstanceType): number {
  if (t.eriQuantity <= 0 || t.eniQuantity <= 2) return 0
  return Math.min(t.eniQuantity >= 8 ? 2 : 1, t.eriQuantity)
}

/** ENIs of the node that are for pods. */
export function podEnis(spec: NodeSpec): number {
  if (spec.flavor === undefined) return Math.max(0, (spec.nodeCap?.adapters ?? 0) - 1)
  return spec.flavor.filter(f => f.networkInterfaceTrafficMode === 'Standard').reduce((n, f) => n + f.count, 0)
}

/** Pods that ENIs of the node can serve: annotation k8s.aliyun.com/max-available-ip. */
export function maxAvailableIp(spec: NodeSpec, mode: EniMode = 'shared'): number {
  const { capacity4, capacity6 } = perEniOf(spec, mode)
  return podEnis(spec) * podsServed(stackOf(spec.eni), capacity4, capacity6)
}

const infoAnnotation = 'alibabacloud.com/instance-type-info'
const keep = 15 * 24 * 3_600_000

/** Instance types hardly change: 15 days in memory. A node may bring its type along in an annotation. */
export class InstanceTypes {
  readonly #cloud: Cloud
  readonly #clock: Clock
  readonly #known = new Map<string, { readonly type: InstanceType; readonly until: number }>()

  constructor(cloud: Cloud, clock: Clock) {
    this.#cloud = cloud
    this.#clock = clock
  }

  /** Undefined when the cloud does not know the type. */
  async of(node: Node, id: string): Promise<InstanceType | undefined> {
    const carried = carriedBy(node)
    if (carried?.id === id) return carried
    const known = this.#known.get(id)
    if (known !== undefined && this.#clock.now() < known.until) return known.type
    const found = (await this.#cloud.describeInstanceTypes([id])).find(t => t.id === id)
    if (found !== undefined) this.#known.set(id, { type: found, until: this.#clock.now() + keep })
    return found
  }
}

function carriedBy(node: Node): InstanceType | undefined {
  const text = node.metadata.annotations?.[infoAnnotation]
  if (text === undefined) return undefined
  try {
    return instanceTypeOf(replyOf(infoAnnotation, JSON.parse(text)))
  } catch {
    // A broken annotation is no source; the API is.
    return undefined
  }
}
