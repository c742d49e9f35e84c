// SPDX-License-Identifier: Apache-2.0
import { maps } from '#kernel/bpf/maps.ts'
import { observeHost } from '#kernel/host.ts'
import type { NetnsPath } from '#kernel/names.ts'
import type { ConnectedSocket, Kernel } from '#kernel/port.ts'
import type { Ip } from '#net/ip.ts'

/** Where a backend of UDP answered. */
export interface GoneBackend {
  readonly ip: Ip
  readonly port: number
}

/**
 * Sockets of the node, and of these pods, that are connected over UDP to a backend which is gone, by way of a Service, are ended, and learn of it: translated is what they
 * named, not what they send, so that they would talk to nobody for ever. Whoever connects again gets another backend. How many there were; with no
 * backends, whether the kernel can. Throws KernelError where it cannot.
 */
export async function cutSockets(
  kernel: Pick<Kernel, 'observe' | 'connectedSockets' | 'destroySockets'>,
  gone: readonly GoneBackend[],
  pods: readonly NetnsPath[] = [],
): Promise<number> {
  const candidates = gone.length === 0 ? [] : socketsTo(await kernel.connectedSockets(pods), gone)
  const entries = candidates.map(({ key }) => ({ map: 'socket_peers', key }) as const)
  const found = entries.length === 0 ? [] : (await observeHost(kernel, { links: [], families: [], entries })).entries
  const translated = new Set(found.map(e => e.key))
  return kernel.destroySockets(candidates.filter(c => translated.has(c.key)).map(c => c.socket))
}

/** With the entry of `socket_peers` that each has if it named a Service. */
export function socketsTo(
  sockets: readonly ConnectedSocket[],
  gone: readonly GoneBackend[],
): readonly { readonly socket: ConnectedSocket; readonly key: string }[] {
  // An IPv4 address of a socket of IPv6 is that address.
  const wanted = new Set(gone.map(({ ip, port }) => peerKey(0n, ip, port)))
  return sockets
    .filter(({ remote, remotePort }) => wanted.has(peerKey(0n, remote, remotePort)))
    .map(socket => ({ socket, key: peerKey(socket.cookie, socket.remote, socket.remotePort) }))
}

function peerKey(cookie: bigint, ip: Ip, port: number): string {
  return maps.socket_peers.key.encode({ cookie, ip, port }).toString('hex')
}
