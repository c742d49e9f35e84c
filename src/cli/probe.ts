// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process'
import { connect } from 'node:net'
import { promisify } from 'node:util'

/** What became of one attempt to connect. */
export interface Attempt {
  /** `connected`, or the error's name. */
  readonly outcome: string
  readonly milliseconds: number
  /** Undefined when it did not get so far. */
  readonly localPort?: number
}

/** Tries one connection from inside a namespace. */
export type ProbeFrom = (netns: string, address: string, port: number) => Promise<Attempt>

/** Milliseconds until an attempt is given up: three SYNs. */
const patience = 4_000

/** By a process of its own, since a namespace is a thread's: `entry` is terway-cli. */
export function probeBy(entry: string): ProbeFrom {
  return async (netns, address, port) => {
    const { stdout } = await promisify(execFile)(process.execPath, [entry, 'connect', netns, address, String(port)])
    return JSON.parse(stdout) as Attempt
  }
}

/** The process goes into the namespace and stays there. */
export async function connectFrom(netns: string, address: string, port: number): Promise<Attempt> {
  const { enterNetns } = await import('#kernel/netns.ts')
  enterNetns(netns)
  return attempt(address, port)
}

export function attempt(host: string, port: number): Promise<Attempt> {
  const begin = performance.now()
  const socket = connect({ host, port, timeout: patience })
  let localPort: number | undefined
  // An address needs no look-up, so that the call is made before this; a refused socket has no port any more.
  process.nextTick(() => {
    localPort = socket.localPort
  })
  return new Promise(resolve => {
    const end = (outcome: string) => {
      socket.destroy()
      const milliseconds = Math.round((performance.now() - begin) * 10) / 10
      resolve({ outcome, milliseconds, ...(localPort !== undefined && { localPort }) })
    }
    socket.once('connect', () => end('connected'))
    socket.once('timeout', () => end('ETIMEDOUT'))
    socket.once('error', (e: NodeJS.ErrnoException) => end(e.code ?? e.message))
  })
}
