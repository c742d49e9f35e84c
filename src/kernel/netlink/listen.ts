// SPDX-License-Identifier: Apache-2.0
import { read } from 'node:fs'
import { promisify } from 'node:util'
import { attachFilter, close, msgDontWait, netlinkSocket, receive, send, setSocketOption } from '#kernel/ffi.ts'
import { type Message, messages, routeProtocol, solNetlink, solSocket, soReceiveTimeout, timeval } from '#kernel/netlink/conn.ts'
import { flag, headerSize, messageType, writeHeader } from '#kernel/netlink/header.ts'
import { errnoOf } from '#kernel/netns.ts'

const readAsync = promisify(read)
const soReceiveBufferForce = 33
const addMembership = 1
const portIdOffset = 12
/** The end of the process waits for a read that is under way: for this long at most. */
const readTimeoutSeconds = 1n

/**
 * An rtnetlink socket that only listens to the multicast groups of its thread's namespace. A read that waits occupies one thread
 * of libuv's pool, which is there anyway; nothing runs while there is nothing to tell.
 */
export class NetlinkListener {
  readonly #fd: number
  /** Not shared with the thread's other connections: a read fills it while they work. A notification takes a page or two. */
  readonly #received = Buffer.allocUnsafeSlow(32768)

  /** `groups`: RTNLGRP_* numbers. What the ports `deafTo` asked for is not even received: the filter is there before the first group is joined. */
  constructor(groups: readonly number[], deafTo: readonly number[], timeoutSeconds = readTimeoutSeconds) {
    this.#fd = netlinkSocket(routeProtocol).fd
    try {
      setSocketOption(this.#fd, solSocket, soReceiveBufferForce, Buffer.from([0, 0, 16, 0]))
      setSocketOption(this.#fd, solSocket, soReceiveTimeout, timeval(timeoutSeconds))
      this.deafTo(deafTo)
      for (const group of groups) setSocketOption(this.#fd, solNetlink, addMembership, Buffer.from([group, 0, 0, 0]))
    } catch (e) {
      close(this.#fd)
      throw e
    }
  }

  /** What these ports ask for is not received from now on. */
  deafTo(ports: readonly number[]): void {
    attachFilter(this.#fd, exceptFrom(ports))
  }

  /** Waits for notifications and hands over all that are there; after a while, or after `wake`, also none. False: some were lost, because too many came. */
  async next(each: (m: Message) => void): Promise<boolean> {
    try {
      const { bytesRead } = await readAsync(this.#fd, this.#received, 0, this.#received.length, null)
      for (const m of messages(this.#received, bytesRead)) each(m)
      this.#drain(each)
      return true
    } catch (e) {
      if (errnoOf(e) === 'ENOBUFS') return false
      if (errnoOf(e) !== 'EAGAIN' && errnoOf(e) !== 'EINTR') throw e
      return true
    }
  }

  /** Ends the wait of `next`: the kernel acknowledges a message that asks for nothing. */
  wake(): void {
    const data = Buffer.alloc(headerSize)
    writeHeader(data, { length: headerSize, type: messageType.noop, flags: flag.request | flag.ack, sequence: 0, portId: 0 })
    send(this.#fd, data)
  }

  /** Not while `next` waits: the number of the socket may be another file's then. */
  close(): void {
    close(this.#fd)
  }

  #drain(each: (m: Message) => void): void {
    for (;;) {
      const length = receive(this.#fd, this.#received, msgDontWait)
      if (length === undefined) return
      for (const m of messages(this.#received, length)) each(m)
    }
  }
}

/** A socket filter (classic BPF) that drops what these ports caused: load the sender, compare it with each, accept or drop. */
function exceptFrom(ports: readonly number[]): Buffer {
  const [loadWord, jumpIfEqual, answer] = [0x20, 0x15, 0x06]
  const n = ports.length
  const program = [
    instruction(loadWord, 0, portIdOffset),
    ...ports.map((port, i) => instruction(jumpIfEqual, n - i, swapped(port))),
    instruction(answer, 0, 0xffffffff),
    instruction(answer, 0, 0),
  ]
  return Buffer.concat(program)
}

/** struct sock_filter; a jump is relative to the next instruction, and none when the comparison fails. */
function instruction(code: number, jump: number, value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt16LE(code, 0)
  bytes.writeUInt8(jump, 2)
  bytes.writeUInt32LE(value, 4)
  return bytes
}

/** The filter loads numbers in network order, netlink has them in the machine's. */
function swapped(value: number): number {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes.readUInt32BE()
}
