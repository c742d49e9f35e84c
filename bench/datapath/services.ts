// SPDX-License-Identifier: Apache-2.0

/** Where a Service leads. */
export interface Target {
  readonly ip: string
  readonly port: number
}
export interface BenchService {
  readonly name: string
  readonly ip: string
  readonly endpoints: readonly Target[]
}

/** Of every Service, TCP. */
export const servicePort = 80

/** So many Services of two endpoints that nobody asks for; those from the middle on lead to `targets` instead, one each. */
export function servicesOf(count: number, targets: readonly Target[]): readonly BenchService[] {
  return Array.from({ length: count }, (_, i) => {
    const [block, last] = [Math.floor(i / 250), (i % 250) + 1]
    const target = targets[i - middleOf(count)]
    const endpoints = target === undefined ? [1, 2].map(e => ({ ip: `10.112.${block * 2 + e}.${last}`, port: 8080 })) : [target]
    return { name: `S${String(i).padStart(6, '0')}`, ip: `10.96.${block}.${last}`, endpoints }
  })
}

/** The address of the Service that leads to target number `n` (0…). */
export function serviceOf(services: readonly BenchService[], n: number): Target {
  const found = services[middleOf(services.length) + n]
  if (found === undefined) throw new Error(`no Service leads to target ${n}`)
  return { ip: found.ip, port: servicePort }
}

function middleOf(count: number): number {
  return Math.floor(count / 2)
}
