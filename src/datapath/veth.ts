// SPDX-License-Identifier: Apache-2.0
import { hash } from 'node:crypto'
import type { Attachment } from '#datapath/attachment.ts'
import type { NsState } from '#kernel/state.ts'
import { AppError } from '#lib/errors.ts'
import { type Mac, macFromBytes } from '#net/mac.ts'

const minMtu6 = 1280

/** Whose pair it is, and what its ends are called. */
export type Ends = Pick<Attachment, 'containerId' | 'netns' | 'hostIfName'> & {
  /** The pod's end. */
  readonly ifName: Attachment['ifName']
}

/**
 * The state of a pod's pair. `joined`: the two ends are there and belong together. `absent`: it must be made;
 * `namesake` says that another pair's host end has the name and must go first.
 */
export type Pair =
  | { readonly state: 'joined'; readonly hostMac: Mac; readonly podMac: Mac }
  | { readonly state: 'absent'; readonly namesake: boolean; readonly hostMac: Mac; readonly podMac: Mac }

/**
 * Recognises the pair of one sandbox. A host end of the same name may belong to a dead sandbox of a pod with the same
 * name: each end must name the other by number, and the host end's far namespace must be this one.
 * Throws `pod-interface-taken` when the pod already has an interface of that name that is not ours to replace.
 */
export function recognisePair(a: Ends, host: NsState, pod: NsState): Pair {
  const hostEnd = host.links.find(l => l.name === a.hostIfName)
  const podEnd = pod.links.find(l => l.name === a.ifName)
  if (hostEnd?.mac !== undefined && podEnd?.mac !== undefined) {
    const joined =
      hostEnd.peerIndex === podEnd.index &&
      podEnd.peerIndex === hostEnd.index &&
      hostEnd.peerNsid !== undefined &&
      hostEnd.peerNsid === host.nsids[a.netns]
    if (joined) return { state: 'joined', hostMac: hostEnd.mac, podMac: podEnd.mac }
  }
  if (podEnd !== undefined) {
    throw new AppError(
      'pod-interface-taken',
      `${a.netns} already has an interface ${a.ifName} whose other end is not ${a.hostIfName}: another plugin made it; remove it from the CNI configuration`,
    )
  }
  return { state: 'absent', namesake: hostEnd !== undefined, ...newMacs(a) }
}

/**
 * The attachment with the MTU that the pod's interface has, when that is less: a plugin behind ours, or the pod itself, wanted it so, and the host end must not
 * send more. Less than IPv6 needs is damage, since IPv6 ends on such a device.
 */
export function withMtuOf<A extends Attachment>(a: A, pod: NsState): A {
  const mtu = pod.links.find(l => l.name === a.ifName)?.mtu ?? a.mtu
  return mtu < a.mtu && mtu >= minMtu6 ? { ...a, mtu } : a
}

/** The addresses that the two ends get when they are made. */
export function newMacs(a: Ends): { readonly hostMac: Mac; readonly podMac: Mac } {
  return { hostMac: macOf(a, 'host'), podMac: macOf(a, 'pod') }
}

/**
 * The address of a pair's end, derived from the sandbox so that planning needs no randomness. Locally administered,
 * unicast. Set at birth: an end without an explicit address may get another one from udev after its MAC was used.
 */
function macOf(a: Ends, end: 'host' | 'pod'): Mac {
  const digest = hash('sha1', `${a.containerId}/${a.ifName}/${end}`, 'buffer')
  return macFromBytes(Uint8Array.of((digest.readUInt8(0) & 0xfc) | 0x02, ...digest.subarray(1, 6)))
}
