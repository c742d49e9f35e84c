// SPDX-License-Identifier: Apache-2.0
import { maps } from '#kernel/bpf/maps.ts'
import { peerOf } from '#kernel/bpf/words.ts'
import { close } from '#kernel/ffi.ts'
import { nameNobody, openUdp } from '#kernel/ffi-udp.ts'
import type { Namespace } from '#kernel/worker/namespaces.ts'
import type { Pinned } from '#kernel/worker/pinned.ts'

const { socket_peers } = maps

/**
 * The cookie of a namespace where the kernel tells it to programs alone: connect4 writes it down for a socket that is made there for this. Undefined where
 * no program is at the sockets of this process. Throws SystemCallError.
 */
export function learnCookie(at: Namespace, pinned: Pinned): bigint | undefined {
  if (pinned.map('socket_peers') === undefined) return undefined
  const told = at.inside(() => {
    const { fd, cookie } = openUdp()
    const key = socket_peers.key.encode({ cookie, spare0: peerOf.namespace }).toString('hex')
    try {
      pinned.put('socket_peers', key, socket_peers.value.encode({}).toString('hex'))
      nameNobody(fd)
      return Buffer.from(pinned.entry('socket_peers', key)?.value ?? '', 'hex').readBigUInt64LE(0)
    } finally {
      pinned.delete('socket_peers', key)
      close(fd)
    }
  })
  return told === 0n ? undefined : told
}
