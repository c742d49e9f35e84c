// SPDX-License-Identifier: Apache-2.0
import { editAddresses, nicsOf, putNic } from '#controller/eni/status.ts'
import { isLive } from '#ipam/pool.ts'
import type { NicIp, NodeStatus } from '#kube/crd/node.ts'
import type { NodeRuntime } from '#kube/crd/node-runtime.ts'

interface Holder {
  readonly podID: string
  readonly podUID: string
  /** The ENI of its addresses, when the daemon says so. */
  readonly eniID: string | undefined
}

/** Copies the daemon's report into podID and podUID, so that Terway's tools and a returning Terway controller see who has what. */
export function mirror(status: NodeStatus, runtime: NodeRuntime | undefined): NodeStatus {
  const holders = new Map<string, Holder>()
  for (const [podUID, pod] of Object.entries(runtime?.status?.pods ?? {})) {
    if (!isLive(pod)) continue
    for (const ip of [pod.ipv4, pod.ipv6]) if (ip !== undefined) holders.set(ip, { podID: pod.podID, podUID, eniID: pod.eniID })
  }
  const known = runtime?.status?.pods ?? {}
  return nicsOf(status).reduce((s, nic) => {
    const holderOf = ({ ip }: NicIp) => {
      const holder = holders.get(ip)
      return (holder?.eniID ?? nic.id) === nic.id ? holder : undefined
    }
    const next = editAddresses(
      nic,
      a => differs(a, holderOf(a), known),
      a => held(a, holderOf(a)),
    )
    return next === nic ? s : putNic(s, next)
  }, status)
}

function differs(a: NicIp, holder: Holder | undefined, known: Readonly<Record<string, unknown>>): boolean {
  if (holder !== undefined) return a.podUID !== holder.podUID || a.podID !== holder.podID
  // A binding that the daemon has not reported yet was made by a controller before it; it is cleared once the daemon knows the pod.
  return a.podUID !== undefined && a.podUID !== '' && known[a.podUID] !== undefined
}

function held(a: NicIp, holder: Holder | undefined): NicIp {
  const { podID: _, podUID: __, ...rest } = a
  return holder === undefined ? rest : { ...rest, podID: holder.podID, podUID: holder.podUID }
}
