// SPDX-License-Identifier: Apache-2.0
import { endianness } from 'node:os'
import { getSystemErrorName } from 'node:util'
import koffi from 'koffi'

/**
 * The system calls that Node does not offer, synchronous, on the calling thread. Only this file and ffi-bpf.ts load native code.
 * Never use koffi's `.async` here: it would run setns on a thread of libuv's pool and leave that thread in the wrong
 * namespace for ever. Constants are those of x64 and arm64, which agree.
 */
export class SystemCallError extends Error {
  readonly call: string
  /** `EPERM`, `EINVAL`, … */
  readonly errno: string

  constructor(call: string, errno: string) {
    super(`${call}: ${errno}`)
    this.name = 'SystemCallError'
    this.call = call
    this.errno = errno
  }
}

const libc = koffi.load(null)
/** Of this thread, to which libc gives it for good. */
const errno = new Int32Array(koffi.view(libc.func('void *__errno_location()')(), 4))

/**
 * A function of libc that answers the negative error where libc answers -1. errno is read where it lies, before anything else runs: what is asked by another
 * call of native code (`koffi.errno`) may be what the engine did in between.
 */
export function systemCall(prototype: string): (...args: readonly unknown[]) => number {
  const call = libc.func(prototype)
  return (...args) => {
    const result = call(...args)
    const error = errno[0] ?? 0
    return result < 0 ? -error : Number(result)
  }
}

koffi.struct('sock_fprog', { len: 'uint16', filter: 'const void *' })
const calls = {
  socket: systemCall('int socket(int domain, int type, int protocol)'),
  bind: systemCall('int bind(int fd, const void *addr, uint len)'),
  getsockname: systemCall('int getsockname(int fd, void *addr, void *len)'),
  setsockopt: systemCall('int setsockopt(int fd, int level, int name, const void *value, uint len)'),
  getsockopt: systemCall('int getsockopt(int fd, int level, int name, void *value, void *len)'),
  attachFilter: systemCall('int setsockopt(int fd, int level, int name, const sock_fprog *value, uint len)'),
  send: systemCall('long send(int fd, const void *data, size_t len, int flags)'),
  recv: systemCall('long recv(int fd, void *data, size_t len, int flags)'),
  close: systemCall('int close(int fd)'),
  setns: systemCall('int setns(int fd, int type)'),
  unshare: systemCall('int unshare(int what)'),
  flock: systemCall('int flock(int fd, int operation)'),
} as const

if (endianness() !== 'LE') throw new Error('the netlink codec writes little-endian numbers only')

export const msgDontWait = 0x40
const [afNetlink, sockRaw, sockCloexec] = [16, 3, 0o2000000]
const [solSocket, soAttachFilter] = [1, 26]
const cloneNewNet = 0x40000000
const [lockExclusive, lockNonBlocking] = [2, 4]

/** Opens and binds a netlink socket of the thread's present namespace. */
export function netlinkSocket(protocol: number): { readonly fd: number; readonly portId: number } {
  const fd = check('socket', calls.socket(afNetlink, sockRaw | sockCloexec, protocol))
  try {
    const address = Buffer.alloc(12) // struct sockaddr_nl: family u16, pad u16, port id u32, groups u32
    address.writeUInt16LE(afNetlink, 0)
    check('bind', calls.bind(fd, address, address.length))
    const length = Buffer.alloc(4)
    length.writeUInt32LE(address.length)
    check('getsockname', calls.getsockname(fd, address, length))
    return { fd, portId: address.readUInt32LE(4) }
  } catch (e) {
    close(fd)
    throw e
  }
}

export function setSocketOption(fd: number, level: number, name: number, value: Uint8Array): void {
  check('setsockopt', calls.setsockopt(fd, level, name, value, value.length))
}

/** Reads an option of exactly this size; false when the kernel has no such option. */
export function getSocketOption(fd: number, level: number, name: number, value: Uint8Array): boolean {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(value.length)
  const result = calls.getsockopt(fd, level, name, value, length)
  if (nameOfError(result) === 'ENOPROTOOPT') return false
  check('getsockopt', result)
  return true
}

/** Lets a socket receive only what a classic BPF program of 8-byte instructions accepts. */
export function attachFilter(fd: number, program: Uint8Array): void {
  const sizeOfProgram = 16 // struct sock_fprog: length u16, pad, pointer
  check('setsockopt', calls.attachFilter(fd, solSocket, soAttachFilter, { len: program.length / 8, filter: program }, sizeOfProgram))
}

export function send(fd: number, data: Uint8Array): void {
  check('send', calls.send(fd, data, data.length, 0))
}

/** Bytes received; undefined when `msgDontWait` was given and nothing is there. */
export function receive(fd: number, into: Uint8Array, flags: number): number | undefined {
  const n = calls.recv(fd, into, into.length, flags)
  if (nameOfError(n) === 'EAGAIN' && (flags & msgDontWait) !== 0) return undefined
  return check('recv', n)
}

export function close(fd: number): void {
  calls.close(fd)
}

/** Moves the calling thread into a network namespace. */
export function setNetns(fd: number): void {
  check('setns', calls.setns(fd, cloneNewNet))
}

/** Moves the calling thread into a network namespace that is made for it, and ends with it. */
export function enterNewNetns(): void {
  check('unshare', calls.unshare(cloneNewNet))
}

/** Takes the file's exclusive lock (flock) without waiting; false when another process has it. It is held until the file is closed. */
export function tryLock(fd: number): boolean {
  const result = calls.flock(fd, lockExclusive | lockNonBlocking)
  if (nameOfError(result) === 'EAGAIN') return false
  check('flock', result)
  return true
}

/** Answers what the call did. Throws SystemCallError. */
export function check(call: string, result: number): number {
  if (result < 0) throw new SystemCallError(call, nameOfError(result))
  return result
}

/** Of what a call answered: '' where it did not fail. */
export function nameOfError(result: number): string {
  return result < 0 ? getSystemErrorName(result) : ''
}
