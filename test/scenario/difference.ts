// SPDX-License-Identifier: Apache-2.0
import { intentTag } from '#controller/tags.ts'
import { nodeCrs } from '#kube/crd/node.ts'
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
        const addresses = Object.values(nic.ipv4 ?? {})
        const [ours, theirs] = [
          addresses
            .map(a => a.ip)
            .sort()
            .join(),
          [...eni.ipv4].sort().join(),
        ]
        return [
          ...(ours === theirs ? [] : [`${at} has ${ours} in the Node CR and ${theirs} in the cloud`]),
          ...addresses.filter(a => a.status !== 'Valid').map(a => `${at}: ${a.ip} is ${a.status}`),
        ]
      }),
    ),
    ...leases(w),
  ]
}

/** Every pod has exactly one lease, and the address of every lease is on an ENI of its instance. */
function leases(w: World): readonly string[] {
  const enis = w.simulator.store.state.list('eni')
  return [...w.nodes.values()].flatMap(node => {
    const held = [...node.disk.leases.values()]
    const ips = held.map(l => String(l.attachment.v4?.address))
    const homeless = ips.filter(ip => !enis.some(e => e.ipv4.includes(ip) && e.attachment?.instanceId === node.instanceId))
    return [
      ...(new Set(ips).size === ips.length ? [] : [`${node.name}: an address is leased twice: ${ips.join()}`]),
      ...(held.length === node.pods.size ? [] : [`${node.name}: ${held.length} leases, ${node.pods.size} pods`]),
      ...homeless.map(ip => `${node.name}: leased ${ip} is not on the instance`),
    ]
  })
}
