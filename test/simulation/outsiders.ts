// SPDX-License-Identifier: Apache-2.0
import { intentTag } from '#controller/tags.ts'
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import { nodes } from '#kube/reflect/node.ts'
import { familiesOf } from '#net/stack.ts'
import type { Eni } from '#sim/model/rows.ts'
import type { Cluster } from './cluster.ts'

/** What people and other programs do to the cluster behind Terway's back. Each says whether there was anything to do it to. */

/** An ENI of ours that is in use is detached; it keeps its addresses. */
export function detachEni(c: Cluster): boolean {
  const eni = victim(c, e => e.status === 'InUse')
  if (eni === undefined) return false
  const call = { NetworkInterfaceId: eni.id, InstanceId: eni.attachment?.instanceId ?? '' }
  c.cloud.simulator.call('DetachNetworkInterface', call).catch(() => undefined)
  return true
}

/** An ENI of ours is deleted by force, in whatever state it is. Others may get its addresses at once. */
export function deleteEni(c: Cluster): boolean {
  const eni = victim(c, () => true)
  if (eni === undefined) return false
  c.cloud.simulator.vanishEni(eni.id)
  return true
}

/** Somebody assigns an address to the ENI that a pod has for itself. */
export function assignExtra(c: Cluster): boolean {
  const own = new Set([...c.nodes.values()].flatMap(n => (n.mode === 'exclusive' ? [n.instanceId] : [])))
  const enis = c.cloud.simulator.store.state.list('eni')
  const eni = c.world.pick(enis.filter(e => e.type !== 'Primary' && e.status === 'InUse' && own.has(e.attachment?.instanceId ?? '')))
  if (eni === undefined) return false
  c.cloud.extended.add(eni.id)
  const families = familiesOf(c.variant.stack)
  const call = (action: string, count: string) =>
    c.cloud.simulator.call(action, { NetworkInterfaceId: eni.id, [count]: '1' }).catch(() => undefined)
  if (families.includes(4)) void call('AssignPrivateIpAddresses', 'SecondaryPrivateIpAddressCount')
  if (families.includes(6)) void call('AssignIpv6Addresses', 'Ipv6AddressCount')
  return true
}

/** The kubelet starts anew, and no device plugin tells it of ENIs. */
export function forgetOffer(c: Cluster): boolean {
  const node = c.world.pick([...c.nodes.values()].filter(n => n.mode === 'exclusive'))
  const present = node && c.api.read(nodes, node.name)
  if (present?.status?.capacity === undefined) return false
  c.api.put(nodes, { ...present, status: { ...present.status, capacity: { 'aliyun/eni': '0' }, allocatable: { 'aliyun/eni': '0' } } })
  return true
}

function victim({ world, cloud }: Cluster, suits: (eni: Eni) => boolean): Eni | undefined {
  const ours = cloud.simulator.store.state.list('eni').filter(e => e.tags[intentTag] !== undefined && !cloud.taken.has(e.id) && suits(e))
  const eni = world.pick(ours)
  if (eni !== undefined) cloud.taken.add(eni.id)
  return eni
}

export function dropRuntime(c: Cluster): boolean {
  const node = c.world.pick([...c.nodes.values()])
  if (node === undefined || c.api.read(nodeRuntimes, node.name) === undefined) return false
  c.api.remove(nodeRuntimes, node.name)
  return true
}

/** The controller's clock is up to two hours wrong for a while. */
export function jumpClock({ world, controlplane }: Cluster): boolean {
  controlplane.ahead = world.int(4 * 3_600_000) - 2 * 3_600_000
  world.after(world.int(60_000), () => {
    controlplane.ahead = 0
  })
  return true
}

/** A grace, the slowest watch and a round of the slowest calls. */
const settled = 120_000

/** The Kubernetes node is deleted and comes back within the grace: nothing of it may have been taken. */
export function loseNode(c: Cluster): boolean {
  const node = c.world.pick([...c.nodes.values()].filter(n => c.world.now() >= n.lostAgainAt && c.api.read(nodes, n.name) !== undefined))
  if (node === undefined) return false
  const away = c.world.int(40_000)
  node.lostAgainAt = c.world.now() + away + settled
  c.api.remove(nodes, node.name)
  c.world.after(away, () => {
    if (c.nodes.get(node.name) === node) c.register(node)
  })
  return true
}
