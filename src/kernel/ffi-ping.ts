// SPDX-License-Identifier: Apache-2.0
import { getSystemErrorName } from 'node:util'
import { close, receive, SystemCallError, send, setSocketOption, systemCall } from '#kernel/ffi.ts'
import { timeval } from '#kernel/netlink/conn.ts'
import { familyOf, type Ip, toBytes } from '#net/ip.ts'

/** Echo requests, which Node cannot send. Synchronous: for a process that does nothing else. */

const calls = {
  socket: systemCall('int socket(int domain, int type, int protocol)'),
  connect: systemCall('int connect(int fd, const void *addr, uint len)'),
  getsockname: systemCall('int getsockname(int fd, void *addr, void *len)'),
} as const

const [solSocket, soReceiveTimeout] = [1, 20]
const [datagram, raw, closeOnExec] = [2, 3, 0o2000000]
const families = {
  4: { family: 2, protocol: 1, request: 8, answer: 0 },
  6: { family: 10, protocol: 58, request: 128, answer: 129 },
} as const
const headerSize = 8
const room = 2048

export interface Ping {
  /** What the programs and the other side know its packets by. */
  readonly identifier: number
  /** One request; whether an answer to it came within so many seconds. Throws SystemCallError, ECONNREFUSED or EHOSTUNREACH for instance. */
  ask(sequence: number): boolean
  close(): void
}

/**
 * Towards one address. The kernel offers such sockets to everybody whose group is in net.ipv4.ping_group_range of the namespace; else it takes NET_RAW.
 * Throws SystemCallError.
 */
export function openPing(to: Ip, seconds: bigint): Ping {
  const version = familyOf(to)
  const { family, protocol } = families[version]
  const own = calls.socket(family, datagram | closeOnExec, protocol)
  const fd = own >= 0 ? own : check('socket', calls.socket(family, raw | closeOnExec, protocol))
  try {
    const address = sockaddr(family, to)
    check('connect', calls.connect(fd, address, address.length))
    setSocketOption(fd, solSocket, soReceiveTimeout, timeval(seconds))
    const identifier = own >= 0 ? portOf(fd) : process.pid & 0xffff
    return { identifier, ask: n => ask(fd, { version, identifier, isRaw: own < 0 }, n), close: () => close(fd) }
  } catch (e) {
    close(fd)
    throw e
  }
}

interface Kind {
  readonly version: 4 | 6
  readonly identifier: number
  readonly isRaw: boolean
}

function ask(fd: number, kind: Kind, sequence: number): boolean {
  const { version, identifier, isRaw } = kind
  const packet = Buffer.alloc(headerSize)
  packet.writeUInt8(families[version].request, 0)
  packet.writeUInt16BE(identifier, 4)
  packet.writeUInt16BE(sequence, 6)
  // The kernel does it but for IPv4 without its help.
  if (isRaw && version === 4) packet.writeUInt16BE(checksum(packet), 2)
  send(fd, packet)
  const answer = Buffer.alloc(room)
  for (;;) {
    try {
      const length = receive(fd, answer, 0) ?? 0
      if (isAnswer(answer.subarray(0, length), kind)) return true
    } catch (e) {
      if (e instanceof SystemCallError && e.errno === 'EAGAIN') return false
      throw e
    }
  }
}

/** Without the kernel's help a packet of IPv4 comes with its header, and everybody's come. */
function isAnswer(packet: Buffer, { version, identifier, isRaw }: Kind): boolean {
  const at = isRaw && version === 4 ? ((packet[0] ?? 0) & 0xf) * 4 : 0
  if (packet.length < at + headerSize || packet.readUInt8(at) !== families[version].answer) return false
  return packet.readUInt16BE(at + 4) === identifier
}

function checksum(packet: Buffer): number {
  let sum = 0
  for (let i = 0; i + 1 < packet.length; i += 2) sum += packet.readUInt16BE(i)
  return ~(sum + (sum >> 16)) & 0xffff
}

/** struct sockaddr_in, or sockaddr_in6. */
function sockaddr(family: number, ip: Ip): Buffer {
  const bytes = toBytes(ip)
  const address = Buffer.alloc(bytes.length === 4 ? 16 : 28)
  address.writeUInt16LE(family, 0)
  address.set(bytes, bytes.length === 4 ? 4 : 8)
  return address
}

function portOf(fd: number): number {
  const [address, length] = [Buffer.alloc(28), Buffer.alloc(4)]
  length.writeUInt32LE(address.length)
  check('getsockname', calls.getsockname(fd, address, length))
  return address.readUInt16BE(2)
}

function check(call: string, result: number): number {
  if (result < 0) throw new SystemCallError(call, getSystemErrorName(result))
  return result
}
