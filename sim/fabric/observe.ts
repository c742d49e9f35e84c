// SPDX-License-Identifier: Apache-2.0
import type { FabricView } from '../model/view.ts'
import { asCidr } from './address.ts'
import { METADATA_ADDRESS, OPENAPI_ADDRESS } from './base.ts'
import { must, run } from './run.ts'
import { desiredState, type Link, nothing, type Placed, slotIn } from './state.ts'

/** What the kernel has of a fabric. */
export interface Observed {
  /** Links of the view whose device exists and whose other end was put into the right machine, with the routes they have. */
  readonly links: ReadonlyMap<string, Link>
  /** ENI devices that are none of these. */
  readonly stray: readonly string[]
  /** Addresses of balancers, present or past: what lo has beside the fabric's own. */
  readonly balancers: readonly string[]
}

/** Compares the kernel with what a view asks for, without any memory of what was applied. */
export async function observe(netns: string, view: FabricView, placed: Placed): Promise<Observed> {
  const devices = await devicesIn(netns)
  const routes = await routesIn(netns)
  const links = new Map<string, Link>()
  for (const link of desiredState(view, placed, nothing).links.values()) {
    const slot = link.end.kind === 'veth' ? slotIn(link.end.netns, devices.get(link.dev)) : undefined
    if (!devices.has(link.dev) || (link.end.kind === 'veth' && slot === undefined)) continue
    const end = link.end.kind === 'veth' ? { ...link.end, slot: slot ?? 0 } : link.end
    links.set(link.eniId, { ...link, end, routes: routes.get(link.dev) ?? [] })
  }
  const kept = new Set([...links.values()].map(link => link.dev))
  return {
    links,
    balancers: await balancersIn(netns),
    stray: [...devices.keys()].filter(dev => /^e[0-9a-f]{12}$/.test(dev) && !kept.has(dev)),
  }
}

/** Devices of a namespace with their aliases; empty when the namespace is gone. */
export async function devicesIn(netns: string): Promise<ReadonlyMap<string, string | undefined>> {
  const ran = await run(['ip', '-n', netns, '-json', 'link', 'show'])
  if (ran.code !== 0) return new Map()
  const links = JSON.parse(ran.stdout) as { readonly ifname: string; readonly ifalias?: string }[]
  return new Map(links.map(link => [link.ifname, link.ifalias]))
}

async function balancersIn(netns: string): Promise<readonly string[]> {
  interface Device {
    readonly addr_info: readonly { readonly local: string; readonly scope: string }[]
  }
  const [lo] = JSON.parse(await must(['ip', '-n', netns, '-json', 'address', 'show', 'dev', 'lo'])) as Device[]
  const own: readonly string[] = [METADATA_ADDRESS, OPENAPI_ADDRESS]
  return (lo?.addr_info ?? []).filter(a => a.scope === 'global' && !own.includes(a.local)).map(a => a.local)
}

interface Route {
  readonly dst: string
  readonly dev?: string
  readonly gateway?: string
}

/** What is routed to each device: host routes and prefixes as CIDRs. */
async function routesIn(netns: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const routes = new Map<string, string[]>()
  for (const family of ['-4', '-6']) {
    const listed = JSON.parse(await must(['ip', family, '-n', netns, '-json', 'route', 'show'])) as Route[]
    for (const { dst, dev, gateway } of listed) {
      if (dev !== undefined && gateway !== undefined && dst !== 'default') routes.set(dev, [...(routes.get(dev) ?? []), asCidr(dst)])
    }
  }
  return routes
}
