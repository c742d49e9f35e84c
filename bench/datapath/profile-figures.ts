// SPDX-License-Identifier: Apache-2.0
import type { Figure } from '../measure/figures.ts'
import type { Way, Work } from './cells.ts'
import { type Part, parts } from './stacks.ts'

/** What is looked into: the goals that are missed, beside host to host and programs that only redirect. */
export const profiled = {
  host: { kind: 'host' },
  minimal: { kind: 'minimal', between: 'crossnode' },
  v2: { kind: 'v2', between: 'crossnode' },
  v2_service: { kind: 'v2', between: 'service' },
} as const satisfies Readonly<Record<string, Way>>
export type Profiled = keyof typeof profiled
export const profiledNames = Object.keys(profiled) as readonly Profiled[]
export const profiledIn: Readonly<Record<Work, readonly Profiled[]>> = {
  tcp_rr: profiledNames,
  udp_rr: profiledNames,
  crr: profiledNames,
  stream: ['host', 'minimal', 'v2'],
}
export const cases = (Object.keys(profiledIn) as Work[]).flatMap(work => profiledIn[work].map(name => ({ work, name })))

/** Microseconds of each round trip, connection, or MB. */
export const profileFigure = (work: Work, name: Profiled, part: Part) => `dp.profile.${work}.${name}.${part}.us`

export const partNames: Readonly<Record<Part, string>> = {
  programs: 'eBPF programs themselves',
  maps: 'their looks into maps',
  packet: 'their changes of the packet',
  hooks: 'hooks, and redirecting',
  devices: 'devices: queues, veth, softirqs',
  ip: 'IP: routes, forwarding',
  tcp: 'TCP, UDP, sockets',
  tasks: 'waking and switching tasks',
  calls: 'system calls, the benchmark',
}
export const trips: Readonly<Record<Work, string>> = {
  tcp_rr: 'a byte and back over TCP',
  udp_rr: 'a byte and back over UDP',
  crr: 'a TCP connection, a byte and back, its end',
  stream: 'a MB of a TCP stream',
}
export const profiledWays: Readonly<Record<Profiled, string>> = {
  host: 'host to host',
  minimal: 'redirect only',
  v2: 'DataPath V2',
  v2_service: 'DataPath V2 → Service',
}

/** Microseconds of each round trip, connection, or MB. */
export const profileFigures: Readonly<Record<string, Figure>> = Object.fromEntries(
  cases.flatMap(({ work, name }) =>
    parts.map(part => [profileFigure(work, name, part), { unit: 'us', what: `${trips[work]}, ${profiledWays[name]}: ${partNames[part]}` }]),
  ),
)
