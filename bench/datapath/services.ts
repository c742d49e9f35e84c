// SPDX-License-Identifier: Apache-2.0

/** Where something is asked for. */
export interface Target {
  readonly ip: string
  readonly port: number
}
export type Family = 4 | 6
/** One of each family. */
export type Addresses = Readonly<Record<`v${Family}`, string>>
export interface Endpoint {
  readonly ips: Addresses
  readonly port: number
}
export type Protocol = 'TCP' | 'UDP'
export interface BenchService {
  readonly name: string
  readonly protocol: Protocol
  readonly ips: Addresses
  readonly endpoints: readonly Endpoint[]
}
/** What one Service leads to. */
export interface Wanted {
  readonly protocol: Protocol
  readonly endpoint: Endpoint
}

/** Of every Service. */
export const servicePort = 80

/** So many Services of two endpoints that nobody asks for; those from the middle on lead to `wanted` instead, one each. */
export function servicesOf(count: number, wanted: readonly Wanted[]): readonly BenchService[] {
  return Array.from({ length: count }, (_, i) => {
    const [block, last] = [Math.floor(i / 250), (i % 250) + 1]
    const other = (e: number): Endpoint => ({
      ips: { v4: `10.112.${block * 2 + e}.${last}`, v6: `fd00:112:${block * 2 + e}::${last}` },
      port: 8080,
    })
    const { protocol = 'TCP', endpoint } = wanted[i - middleOf(count)] ?? {}
    const ips = { v4: `10.96.${block}.${last}`, v6: `fd00:96::${((block << 8) + last).toString(16)}` }
    return { name: `s${String(i).padStart(6, '0')}`, protocol, ips, endpoints: endpoint === undefined ? [other(1), other(2)] : [endpoint] }
  })
}

/** The address of the Service that leads to number `n` (0…) of what was wanted. */
export function serviceOf(services: readonly BenchService[], n: number, family: Family): Target {
  const found = services[middleOf(services.length) + n]
  if (found === undefined) throw new Error(`no Service leads to target ${n}`)
  return { ip: found.ips[`v${family}`], port: servicePort }
}

function middleOf(count: number): number {
  return Math.floor(count / 2)
}
