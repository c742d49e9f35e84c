// SPDX-License-Identifier: Apache-2.0
import { check, close, getSocketOption, systemCall } from '#kernel/ffi.ts'

/** Sockets of UDP that send nothing: programs at sockets meet their calls. */

const calls = {
  socket: systemCall('int socket(int domain, int type, int protocol)'),
  connect: systemCall('int connect(int fd, const void *addr, uint len)'),
} as const

const [ipv4, datagram, closeOnExec] = [2, 2, 0o2000000]
const [solSocket, soCookie] = [1, 57]

/** Of the thread's present namespace, with the cookie that programs know it by; the caller closes it. Throws SystemCallError. */
export function openUdp(): { readonly fd: number; readonly cookie: bigint } {
  const fd = check('socket', calls.socket(ipv4, datagram | closeOnExec, 0))
  try {
    const cookie = Buffer.alloc(8)
    getSocketOption(fd, solSocket, soCookie, cookie)
    return { fd, cookie: cookie.readBigUInt64LE(0) }
  } catch (e) {
    close(fd)
    throw e
  }
}

/** Connects it to port 0 of its own loopback. Whether it can is of no interest: programs come first. */
export function nameNobody(fd: number): void {
  const address = Buffer.from([ipv4, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
  calls.connect(fd, address, address.length)
}
