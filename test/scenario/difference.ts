// SPDX-License-Identifier: Apache-2.0
import { intentTag } from '#controller/tags.ts'
import { addressesOf } from '#ipam/book.ts'
import type { Lease } from '#ipam/ledger.ts'
import { type Nic, nodeCrs } from '#kube/crd/node.ts'
import { familyOf } from '#net/ip.ts'
import { familiesOf } from '#net/stack.ts'
import type { TestPod } from './node.ts'
import type { World } from './world.ts'

/**
 * Where cloud, Node CRs and ledgers disagree, one line each; empty when nothing leaked and nothing is corrupt. ENIs that no
 * Terway created are none of its business.
 */
export function difference(w: World): readonly string[] {
  const enis = w.simulator.store.state.list('eni').filter(e => e.type !== 'Primary')
  const own = enis.filter(e => e.tags.creator === 'terway')
  const crs = w.api.all(nodeCrs)
  const recorded = new Set(crs.flatMap(cr => Object.keys(cr.status?.networkInterfaces ?? {})))
  const tokens = own.flatMap(e => e.tags[intentTag] ?? [])
  return [
    ...own.filter(e => !recorded.has(e.id)).map(e => `ENI ${e.id} (${e.status}) is in no Node CR`),
    ...tokens.filter((t, i) => tokens.indexOf(t) !== i).map(t => `intent ${t} made more than one ENI`),
    ...crs.flatMap(cr => Object.keys(cr.status?.intents ?? {}).map(t => `${cr.metadata.name}: intent ${t} is left`)),
    ...crs.flatMap(cr =>
      Object.values(cr.status?.networkInterfaces ?? {}).flatMap(nic => {
        const at = `${cr.metadata.name}/${nic.id}`
        const eni = enis.find(e => e.id === nic.id)
        if (nic.status !== 'InUse' || eni?.status !== 'InUse')
          return [`${at} is ${nic.status} in the Node CR and ${eni?.status} in the cloud`]
        return [
          ...apart(at, nic.ipv4, eni.ipv4),
          ...apart(at, nic.ipv6, eni.ipv6),
          ...Object.values({ ...nic.ipv4, ...nic.ipv6 })
            .filter(a => a.status !== 'Valid')
            .map(a => `${at}: ${a.ip} is ${a.status}`),
        ]
      }),
    ),
    ...leases(w),
  ]
}

function apart(at: string, record: Nic['ipv4'], cloud: readonly string[]): readonly string[] {
  const [ours, theirs] = [Object.values(record ?? {}).map(a => a.ip), cloud].map(ips => [...ips].sort().join())
  return ours === theirs ? [] : [`${at} has ${ours} in the Node CR and ${theirs} in the cloud`]
}

/**
 * Every pod has exactly one lease, with one address of each family that pods were to have when it came, and each of them is on
 * an ENI of its instance.
 */
function leases(w: World): readonly string[] {
  const enis = w.simulator.store.state.list('eni')
  return [...w.nodes.values()].flatMap(node => {
    const held = [...node.disk.leases.values()]
    const ips: readonly string[] = held.flatMap(addressesOf)
    const own = enis.filter(e => e.attachment?.instanceId === node.instanceId)
    const homeless = ips.filter(ip => !own.some(e => e.ipv4.includes(ip) || e.ipv6.includes(ip)))
    return [
      ...(new Set(ips).size === ips.length ? [] : [`${node.name}: an address is leased twice: ${ips.join()}`]),
      ...(held.length === node.pods.size ? [] : [`${node.name}: ${held.length} leases, ${node.pods.size} pods`]),
      ...homeless.map(ip => `${node.name}: leased ${ip} is not on the instance`),
      ...held.flatMap(lease => incomplete(lease, node.pods.get(lease.podName))),
    ]
  })
}

function incomplete(lease: Lease, pod: TestPod | undefined): readonly string[] {
  if (pod === undefined) return []
  const has = addressesOf(lease)
  const families = has.map(familyOf).join()
  return [
    ...(families === familiesOf(pod.stack).join() ? [] : [`${pod.name} has IPv${families}, and ip_stack is ${pod.stack}`]),
    ...(has.join() === pod.ips.join() ? [] : [`${pod.name} was answered ${pod.ips.join()}, and its lease has ${has.join()}`]),
  ]
}
