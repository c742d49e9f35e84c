// SPDX-License-Identifier: Apache-2.0
import { parseAddr } from '#kernel/netlink/addr.ts'
import type { Message } from '#kernel/netlink/conn.ts'
import { rtm } from '#kernel/netlink/header.ts'
import { parseLink } from '#kernel/netlink/link.ts'
import { NetlinkListener } from '#kernel/netlink/listen.ts'
import { parseRoute } from '#kernel/netlink/route.ts'
import { parseRule } from '#kernel/netlink/rule.ts'
import type { KernelEvent } from '#kernel/port.ts'
import { realClock } from '#lib/clock.ts'

/** RTNLGRP_* numbers. Neighbours are left out: none of the host's is ours, and they change all the time. */
const groups = { link: 1, ipv4IfAddr: 5, ipv4Route: 7, ipv4Rule: 8, ipv6IfAddr: 9, ipv6Route: 11, ipv6Rule: 19 }
/** What comes soon after a notification is told together: the kernel sends several for one change, and many for an ADD of our own. */
const gatherMs = 20

/**
 * Reports notifications of the thread's namespace: at once after a time without any, else together. Changes whose request came
 * from one of the ports `ours` are not reported.
 */
export class Watch {
  readonly #listener: NetlinkListener
  readonly #report: (events: KernelEvent[]) => void
  #closed = false

  constructor(ours: readonly number[], report: (events: KernelEvent[]) => void) {
    this.#listener = new NetlinkListener(Object.values(groups), ours)
    this.#report = report
    void this.#run()
  }

  /** Other ports than before, without missing anything. */
  deafTo(ours: readonly number[]): void {
    this.#listener.deafTo(ours)
  }

  close(): void {
    this.#closed = true
    this.#listener.wake()
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      const events: KernelEvent[] = []
      const whole = await this.#listener.next(m => {
        const event = eventOf(m)
        if (event !== undefined) events.push(event)
      })
      if (!whole) events.push({ kind: 'lost' })
      if (events.length === 0 || this.#closed) continue
      this.#report(events)
      await realClock.sleep(gatherMs)
    }
    this.#listener.close()
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
