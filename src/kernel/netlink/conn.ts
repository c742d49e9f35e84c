// SPDX-License-Identifier: Apache-2.0

import { getSystemErrorName } from 'node:util'
import { close, getSocketOption, netlinkSocket, receive, SystemCallError, send, setSocketOption } from '#kernel/ffi.ts'
import { Attrs, type Body } from '#kernel/netlink/attr.ts'
import { align, flag, type Header, headerSize, messageType, readHeader, writeHeader } from '#kernel/netlink/header.ts'

/** The kernel's refusal of one request: errno's name and, where the kernel gives one, its explanation. */
export class NetlinkError extends Error {
  readonly errno: string
  readonly explanation: string

  constructor(errno: string, explanation: string) {
    super(explanation === '' ? errno : `${errno}: ${explanation}`)
    this.name = 'NetlinkError'
    this.errno = errno
    this.explanation = explanation
  }
}

/** One received message: its header, and where its body lies in `data` (valid until the next receive). */
export interface Message {
  readonly header: Header
  readonly data: Buffer
  readonly start: number
  readonly end: number
}

export const routeProtocol = 0
export const netfilterProtocol = 12
export const sockDiagProtocol = 4
export const solNetlink = 270
const option = { capAck: 10, extAck: 11, strictCheck: 12 } as const
export const solSocket = 1
export const soReceiveTimeout = 20
const soNetnsCookie = 71
/** The kernel answers within send(); a wait this long means that an answer was lost. */
const answerTimeoutSeconds = 5n
/** A dump that changes under way is made again, at most this often. */
const dumpTries = 10

/**
 * What was received last; the kernel fills at most 32 KiB per datagram of a dump. One for all connections of the thread, since a
 * message is taken apart before the next is asked for: a look at many pods makes as many connections.
 */
const received = Buffer.allocUnsafeSlow(65536)

/**
 * A blocking netlink socket (of routes unless another protocol is named) in the namespace the thread was in when it was made; it stays usable from every namespace.
 * One request at a time: the kernel performs it inside send(), the answer is then already waiting.
 */
export class NetlinkConn {
  readonly portId: number
  readonly #fd: number
  #sequence = 0

  constructor(protocol = routeProtocol) {
    const { fd, portId } = netlinkSocket(protocol)
    this.#fd = fd
    this.portId = portId
    const on = Buffer.from([1, 0, 0, 0])
    try {
      setSocketOption(fd, solNetlink, option.capAck, on)
      setSocketOption(fd, solNetlink, option.extAck, on)
      setSocketOption(fd, solNetlink, option.strictCheck, on)
      setSocketOption(fd, solSocket, soReceiveTimeout, timeval(answerTimeoutSeconds))
    } catch (e) {
      close(fd)
      throw e
    }
  }

  /** Sends a change and waits for its acknowledgement. Throws NetlinkError. */
  request(type: number, flags: number, body: Body): void {
    this.getIfAny(type, body, () => undefined, flags)
  }

  /**
   * Sends several changes in one datagram: the kernel performs all of them before it lets go of the thread, so that the end of the process does not
   * come between two. A change that is refused does not keep the next ones from being made. Throws the first NetlinkError after all of them.
   */
  requestAll(type: number, flags: number, bodies: readonly Body[]): void {
    const sequence = this.#send(type, flags | flag.ack, ...bodies)
    let [left, refusal]: [number, unknown] = [bodies.length, undefined]
    while (left > 0) {
      for (const m of this.#receive(sequence)) {
        left--
        try {
          fail(m)
        } catch (e) {
          refusal ??= e
        }
      }
    }
    if (refusal !== undefined) throw refusal
  }

  /** Sends a question that may have no answer: one comes before the acknowledgement. Throws NetlinkError. */
  getIfAny<T>(type: number, body: Body, parse: (m: Message) => T, flags = 0): T | undefined {
    const sequence = this.#send(type, flags | flag.ack, body)
    let answer: T | undefined
    for (;;) {
      for (const m of this.#receive(sequence)) {
        if (m.header.type === messageType.error) {
          fail(m)
          return answer
        }
        answer = parse(m)
      }
    }
  }

  /** Sends a question that has one answer. Throws NetlinkError, `ENODEV` for instance. */
  get<T>(type: number, body: Body, parse: (m: Message) => T, flags = 0): T {
    const sequence = this.#send(type, flags, body)
    for (;;) {
      for (const m of this.#receive(sequence)) {
        if (m.header.type !== messageType.error) return parse(m)
        fail(m)
      }
    }
  }

  /** Every entry of a table; `parse` answers undefined for entries that are not wanted. Made again when the table changed meanwhile. */
  dump<T>(type: number, body: Body, parse: (m: Message) => T | undefined): T[] {
    for (let i = 0; i < dumpTries; i++) {
      const entries = this.#dumpOnce(type, body, parse)
      if (entries !== undefined) return entries
    }
    throw new NetlinkError('EINTR', `the table changed during each of ${dumpTries} dumps`)
  }

  #dumpOnce<T>(type: number, body: Body, parse: (m: Message) => T | undefined): T[] | undefined {
    const sequence = this.#send(type, flag.dump, body)
    const entries: T[] = []
    let whole = true
    for (;;) {
      for (const m of this.#receive(sequence)) {
        if ((m.header.flags & flag.dumpInterrupted) !== 0) whole = false
        if (m.header.type === messageType.error) fail(m)
        else if (m.header.type === messageType.done) {
          if (m.end - m.start >= 4) fail(m)
          return whole ? entries : undefined
        } else {
          const entry = parse(m)
          if (entry !== undefined) entries.push(entry)
        }
      }
    }
  }

  /** Of the namespace that the socket is in; undefined where the kernel tells nobody (before 5.14). */
  cookie(): bigint | undefined {
    const value = Buffer.alloc(8)
    return getSocketOption(this.#fd, solSocket, soNetnsCookie, value) ? value.readBigUInt64LE(0) : undefined
  }

  close(): void {
    close(this.#fd)
  }

  #send(type: number, flags: number, ...bodies: readonly Body[]): number {
    this.#sequence = (this.#sequence + 1) >>> 0
    const header = { type, flags: flags | flag.request, sequence: this.#sequence, portId: 0 }
    const messages = bodies.map(body => {
      const bytes = body.bytes()
      const length = headerSize + bytes.length
      const data = Buffer.alloc(bodies.length === 1 ? length : align(length))
      writeHeader(data, { length, ...header })
      data.set(bytes, headerSize)
      return data
    })
    send(this.#fd, messages.length === 1 && messages[0] !== undefined ? messages[0] : Buffer.concat(messages))
    return this.#sequence
  }

  /** One datagram's messages. What belongs to an earlier request, given up after an error, is dropped. */
  *#receive(sequence: number): Generator<Message> {
    let length: number | undefined
    try {
      length = receive(this.#fd, received, 0)
    } catch (e) {
      if (e instanceof SystemCallError && e.errno === 'EINTR') return
      if (e instanceof SystemCallError) throw new NetlinkError(e.errno, 'no answer from the kernel')
      throw e
    }
    for (const m of messages(received, length ?? 0)) if (m.header.sequence === sequence && m.header.portId === this.portId) yield m
  }
}

export function* messages(data: Buffer, length: number): Generator<Message> {
  for (let at = 0; at + headerSize <= length; ) {
    const header = readHeader(data, at)
    if (header.length < headerSize || at + header.length > length)
      throw new NetlinkError('EBADMSG', `netlink message of length ${header.length}`)
    yield { header, data, start: at + headerSize, end: at + header.length }
    at += align(header.length)
  }
}

/** An error message with code 0 is an acknowledgement. */
function fail(m: Message): void {
  const code = m.data.readInt32LE(m.start)
  if (code < 0) throw new NetlinkError(getSystemErrorName(code), explanation(m))
}

/** NLMSGERR_ATTR_MSG, behind the error code and, on an error message, the (capped) request. */
function explanation(m: Message): string {
  if ((m.header.flags & flag.ackTlvs) === 0) return ''
  let start = m.start + 4
  if (m.header.type === messageType.error) {
    const request = readHeader(m.data, start)
    start += (m.header.flags & flag.capped) !== 0 ? headerSize : align(request.length)
  }
  for (const attrs = new Attrs(m.data, start, m.end); attrs.next(); ) if (attrs.type === 1) return attrs.string()
  return ''
}

export function timeval(seconds: bigint): Buffer {
  const value = Buffer.alloc(16)
  value.writeBigInt64LE(seconds, 0)
  return value
}
