// SPDX-License-Identifier: Apache-2.0
import { parseAddr } from '#kernel/netlink/addr.ts'
import { type Message, NetlinkConn } from '#kernel/netlink/conn.ts'
import { rtm } from '#kernel/netlink/header.ts'
import { parseLink } from '#kernel/netlink/link.ts'
import { parseRoute } from '#kernel/netlink/route.ts'
import { parseRule } from '#kernel/netlink/rule.ts'
import type { KernelEvent } from '#kernel/port.ts'
import { realClock } from '#lib/clock.ts'

/** RTNLGRP_* numbers; group n is bit n-1. Neighbours are left out: none of the host's is ours, and they change all the time. */
const groups = { link: 1, ipv4IfAddr: 5, ipv4Route: 7, ipv4Rule: 8, ipv6IfAddr: 9, ipv6Route: 11, ipv6Rule: 19 }
const drainEveryMs = 200

/**
 * Collects notifications of the thread's namespace by looking every 200 ms: five system calls a second, against the 8 MB
 * of one more thread that blocks. Changes whose request came from one of the ports `ours` are not reported.
 */
export class Watch {
  readonly #conn: NetlinkConn
  readonly #ours: readonly number[]
  readonly #report: (events: KernelEvent[]) => void
  #cancel: () => void = () => {}

  constructor(ours: readonly number[], report: (events: KernelEvent[]) => void) {
    this.#conn = new NetlinkConn(Object.values(groups).reduce((mask, n) => mask | (1 << (n - 1)), 0))
    this.#ours = ours
    this.#report = report
    this.#again()
  }

  close(): void {
    this.#cancel()
    this.#conn.close()
  }

  #again(): void {
    this.#cancel = realClock.after(drainEveryMs, () => {
      this.#drain()
      this.#again()
    })
  }

  #drain(): void {
    const events: KernelEvent[] = []
    const whole = this.#conn.drain(m => {
      const event = this.#ours.includes(m.header.portId) ? undefined : eventOf(m)
      if (event !== undefined) events.push(event)
    })
    if (!whole) events.push({ kind: 'lost' })
    if (events.length > 0) this.#report(events)
  }
}

/** Undefined for messages that say nothing about a plain link, address, route or rule. */
export function eventOf(m: Message): KernelEvent | undefined {
  switch (m.header.type) {
    case rtm.newLink:
    case rtm.delLink:
      return { kind: 'link', removed: m.header.type === rtm.delLink, link: parseLink(m) }
    case rtm.newAddr:
    case rtm.delAddr: {
      const addr = parseAddr(m)
      return addr && { kind: 'addr', removed: m.header.type === rtm.delAddr, addr }
    }
    case rtm.newRoute:
    case rtm.delRoute: {
      const route = parseRoute(m)
      return route && { kind: 'route', removed: m.header.type === rtm.delRoute, route }
    }
    case rtm.newRule:
    case rtm.delRule: {
      const rule = parseRule(m)
      return rule && { kind: 'rule', removed: m.header.type === rtm.delRule, rule }
    }
    default:
      return undefined
  }
}
