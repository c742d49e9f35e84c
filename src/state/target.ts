// SPDX-License-Identifier: Apache-2.0
import { type Ip, withPort } from '#net/ip.ts'

/** The numbers of protocols that can have Services. */
export const protocols: Readonly<Record<'TCP' | 'UDP' | 'SCTP', number> & Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132 }
const names = new Map(Object.entries(protocols).map(([name, number]) => [number, name]))

/** An address and port of one protocol: what a client talks to, or who answers. */
export interface Target {
  readonly ip: Ip
  readonly port: number
  readonly protocol: number
  /** All of it, to find it by: there are many, so it is made once. */
  readonly key: string
}

/** The API server looks at the ports of a Service, but not at those of an EndpointSlice. */
export function isPort(n: number): boolean {
  return n >= 1 && n <= 65535
}

export function target(ip: Ip, port: number, protocol: number): Target {
  return { ip, port, protocol, key: `${ip} ${port} ${protocol}` }
}

/** `10.0.0.7:8080/TCP` */
export function nameOfTarget({ ip, port, protocol }: Omit<Target, 'key'>): string {
  return `${withPort(ip, port)}/${names.get(protocol) ?? protocol}`
}
