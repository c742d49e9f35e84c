// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { promisify } from 'node:util'
import { AppError, messageOf } from '#lib/errors.ts'
import { familyOf, parseIp } from '#net/ip.ts'

export const protocols = ['tcp', 'udp', 'icmp'] as const
export type Protocol = (typeof protocols)[number]

/** What became of one attempt. */
export interface Attempt {
  /** `connected` (TCP), `answered` or `no answer` (UDP, ICMP), or the error's name. */
  readonly outcome: string
  readonly milliseconds: number
  /** Of ICMP its identifier. Undefined when it did not get so far. */
  readonly localPort?: number
}

export interface Asked {
  readonly protocol: Protocol
  readonly address: string
  /** Of ICMP 0. */
  readonly port: number
}

/** Tries one connection, or a few datagrams, from inside a namespace. Throws AppError where it cannot even try. */
export type ProbeFrom = (netns: string, asked: Asked) => Promise<Attempt>

/** Milliseconds until an attempt is given up: three SYNs of TCP; and of the others how long the last of so many datagrams is waited for. */
const patience = 4_000
const [datagrams, between] = [3, 1_000]

/** By a process of its own, since a namespace is a thread's: `entry` is terway-cli. */
export function probeBy(entry: string): ProbeFrom {
  return async (netns, { protocol, address, port }) => {
    const { stdout } = await promisify(execFile)(process.execPath, [entry, 'connect', netns, protocol, address, String(port)])
    const answer = JSON.parse(stdout) as Attempt | { readonly cannot: string }
    if ('cannot' in answer) throw new AppError('no-probe', answer.cannot)
    return answer
  }
}

/** The process goes into the namespace and stays there. */
export async function connectFrom(netns: string, asked: Asked): Promise<Attempt | { readonly cannot: string }> {
  const { enterNetns } = await import('#kernel/netns.ts')
  enterNetns(netns)
  return attempt(asked)
}

export function attempt(asked: Asked): Promise<Attempt | { readonly cannot: string }> {
  switch (asked.protocol) {
    case 'tcp':
      return stream(asked)
    case 'udp':
      return datagram(asked)
    case 'icmp':
      return echo(asked.address)
  }
}

function stream({ address: host, port }: Asked): Promise<Attempt> {
  const since = watch()
  const socket = connect({ host, port, timeout: patience })
  let localPort: number | undefined
  // An address needs no look-up, so that the call is made before this; a refused socket has no port any more.
  process.nextTick(() => {
    localPort = socket.localPort
  })
  return new Promise(resolve => {
    const end = (outcome: string) => {
      socket.destroy()
      resolve({ outcome, milliseconds: since(), ...(localPort !== undefined && { localPort }) })
    }
    socket.once('connect', () => end('connected'))
    socket.once('timeout', () => end('ETIMEDOUT'))
    socket.once('error', (e: NodeJS.ErrnoException) => end(e.code ?? e.message))
  })
}

/** Any answer counts, and so does the word that nobody listens there. */
function datagram({ address, port }: Asked): Promise<Attempt> {
  const since = watch()
  const socket = createSocket(familyOf(parseIp(address)) === 4 ? 'udp4' : 'udp6')
  let localPort: number | undefined
  let timer: NodeJS.Timeout | undefined
  return new Promise(resolve => {
    const end = (outcome: string) => {
      clearTimeout(timer)
      socket.close()
      resolve({ outcome, milliseconds: since(), ...(localPort !== undefined && { localPort }) })
    }
    const say = (left: number) => {
      if (left === 0) return end('no answer')
      socket.send('terway-cli path')
      timer = setTimeout(() => say(left - 1), between)
    }
    socket.once('message', () => end('answered'))
    socket.once('error', (e: NodeJS.ErrnoException) => end(e.code ?? e.message))
    socket.connect(port, address, () => {
      localPort = socket.address().port
      say(datagrams)
    })
  })
}

async function echo(address: string): Promise<Attempt | { readonly cannot: string }> {
  const { openPing } = await import('#kernel/ffi-ping.ts')
  const since = watch()
  let ping: ReturnType<typeof openPing>
  try {
    ping = openPing(parseIp(address), BigInt(between / 1000))
  } catch (e) {
    if (!['EPERM', 'EACCES'].includes(errorName(e))) return { outcome: errorName(e), milliseconds: since() }
    const need = 'an echo request takes NET_RAW (terway.extraCapabilities), or a pod whose net.ipv4.ping_group_range has group 0'
    return { cannot: `${need}: ${messageOf(e)}; --protocol tcp and udp take nothing` }
  }
  const done = (outcome: string): Attempt => ({ outcome, milliseconds: since(), localPort: ping.identifier })
  try {
    for (let n = 1; n <= datagrams; n++) if (ping.ask(n)) return done('answered')
    return done('no answer')
  } catch (e) {
    return done(errorName(e))
  } finally {
    ping.close()
  }
}

/** Of a system call that was made by native code. */
function errorName(e: unknown): string {
  return e instanceof Error && 'errno' in e ? String(e.errno) : messageOf(e)
}

function watch(): () => number {
  const begin = performance.now()
  return () => Math.round((performance.now() - begin) * 10) / 10
}
