// SPDX-License-Identifier: Apache-2.0
import { KernelError } from '#kernel/port.ts'
import { AppError } from '#lib/errors.ts'
import { type Ip, tryParseIpPort, withPort } from '#net/ip.ts'
import { getOverSocket } from '#rpc/http/get.ts'
import type { Route } from '#rpc/http/serve.ts'

/**
 * How terway-policy, which knows when a backend of UDP is gone, has terwayd end the node's sockets that are connected to it: that takes NET_ADMIN, which
 * terwayd has anyway. With no backend it is asked whether the kernel can.
 */
export const cutPath = '/sockets/cut'
/** Where terwayd answers, unless its flag says otherwise. */
export const debugSocket = '/var/run/eni/eni_debug.socket'

export interface Place {
  readonly ip: Ip
  readonly port: number
}

/** Longer requests are refused by their receiver. */
const most = 200
const cannot = 501
/** What the kernel answers where it can do no such thing. */
const lacking = ['EOPNOTSUPP', 'EPROTONOSUPPORT', 'ENOENT', 'EPERM']

export function cutRoute(cut: (places: readonly Place[]) => Promise<number>): Route {
  return async query => {
    const places = query.getAll('backend').flatMap(text => tryParseIpPort(text) ?? [])
    try {
      return { status: 200, body: { cut: await cut(places) } }
    } catch (e) {
      if (e instanceof KernelError && lacking.includes(e.errno)) return { status: cannot, body: e.message }
      throw e
    }
  }
}

/** Undefined when it is done, else why it never can be. Throws AppError when it may be later. */
export async function askToCut(socketPath: string, places: readonly Place[]): Promise<string | undefined> {
  for (let at = 0; at === 0 || at < places.length; at += most) {
    const query = new URLSearchParams(places.slice(at, at + most).map(({ ip, port }) => ['backend', withPort(ip, port)]))
    const { status, body } = await getOverSocket(socketPath, `${cutPath}?${query}`)
    if (status === cannot) return body.trim()
    if (status === 404) return 'terwayd is of an older release'
    if (status !== 200) throw new AppError('cut-failed', `terwayd on ${socketPath}: ${status} ${body.trim()}`)
  }
  return undefined
}
