// SPDX-License-Identifier: Apache-2.0
import { addressState, flowKind, mode, type serviceFlag } from '#kernel/bpf/words.ts'
import { type Family, familyOf, parseIp } from '#net/ip.ts'
import type { Chance } from '../support/chance.ts'
import { echo, icmpError, ipPacket, protocols, raw, type Segment, sctp, tcp, udp } from './build.ts'
import { ago } from './exchange.ts'
import { backendGoes, backendIs, rangeOf, serviceIs, setIs } from './services.ts'
import * as t from './topology.ts'
import { type Change, nodeFlowsOf, row, type World } from './world.ts'

/** Clients of the node by chance, out of so few addresses and ports that they meet each other's entries. */

const router = { 4: parseIp('203.0.113.1'), 6: parseIp('2001:db8:7::1') }
const clients = [t.remote, t.otherRemote, router] as const
const frontendIps = [t.node, t.service] as const
const places = [t.pod1.ip, t.pod3.ip, t.remote, t.otherRemote, t.node] as const
const kinds = [protocols.tcp, protocols.udp, protocols.sctp] as const
const ports = [80, 81] as const
const firstNatPort = 61000

const anyProtocol = (c: Chance) => (c.rarely(8) ? protocols.sctp : c.of(protocols.tcp, protocols.udp))
const natPort = (c: Chance) => firstNatPort + c.below(4)

function segmentOf(c: Chance, protocol: number, from: number, to: number): Segment {
  const data = Buffer.alloc(c.rarely(10) ? c.below(1600) : c.below(20), 0x55)
  if (protocol === protocols.tcp) return tcp(from, to, c.of('S', 'S', 'SA', 'A', 'A', 'FA', 'R', ''), { data })
  return protocol === protocols.udp ? udp(from, to, data) : sctp(from, to, data)
}

function shapeOf(c: Chance, family: Family): Parameters<typeof ipPacket>[3] {
  const fragment = { id: c.of(1, 2), offset: c.of(0, 0, 3), more: c.of(true, false) }
  const long = family === 4 ? { options: Buffer.alloc(4 * c.below(4), 1) } : { extensions: [{ header: c.of(0, 60) }] as const }
  return { ...(c.rarely(6) && { fragment }), ...(c.rarely(20) && long), ...(c.rarely(20) && { hops: c.below(3) }) }
}

/** What comes next in a flow that there is: of its client, of its backend, or an error about it. */
function ofFlow(c: Chance, world: World): t.Packet | undefined {
  const all = nodeFlowsOf(world)
  const { key, value } = all[c.below(all.length)] ?? {}
  if (key?.local === undefined || key.remote === undefined || value === undefined) return undefined
  const { local, remote, localPort, remotePort, protocol } = key
  const family = familyOf(local)
  if (key.kind === flowKind.backend && value.natPort === 0) return t.told(remote, segmentOf(c, protocol, localPort, remotePort))
  const whole = ipPacket(local, remote, segmentOf(c, protocol, localPort, remotePort))
  if (c.rarely(4)) return t.reached(router[family], t.node[family], icmpError(family === 4 ? 3 : 1, 1, whole))
  return t.reached(remote, local, segmentOf(c, protocol, remotePort, localPort), shapeOf(c, family))
}

/** Somebody asks the node, a backend answers, a router complains, or it is nothing of the kind. */
export function anyNodePacket(c: Chance, world: World = {}): t.Packet {
  const next = c.rarely(3) ? ofFlow(c, world) : undefined
  if (next !== undefined) return next
  const family = c.of(4, 6) as Family
  const protocol = anyProtocol(c)
  const [client, port, asked] = [c.of(...clients)[family], c.of(40000, 40001), c.of(...ports)]
  const frontend = c.of(...frontendIps)[family]
  const more = { ...shapeOf(c, family), ...(c.rarely(20) && { gsoSize: 700 }), mark: c.rarely(10) ? 5 : 0, time: c.of(0n, 77n) }
  switch (c.below(9)) {
    case 0:
      return t.reached(c.of(...places)[family], t.node[family], segmentOf(c, protocol, 8080, natPort(c)), more)
    case 1: {
      const inner = ipPacket(c.of(t.node, t.service)[family], c.of(...places)[family], segmentOf(c, protocol, natPort(c), 8080))
      const carried = inner.subarray(0, c.of(inner.length, 48, 28, c.below(60)))
      return t.reached(client, t.node[family], icmpError(family === 4 ? 3 : 1, 1, carried), more)
    }
    case 2:
      return t.told(client, segmentOf(c, protocol, c.of(8080, 80), port), more)
    case 3:
      return t.told(frontend, segmentOf(c, protocol, port, asked), c.rarely(4) ? { ...more, ingressIfIndex: 11 } : more)
    case 4:
      return t.reached(client, c.of(t.pod1, t.pod3).ip[family], c.of(segmentOf(c, protocol, port, 8080), echo('request', 1)), more)
    case 5:
      return damaged(c, t.reached(client, frontend, c.of(segmentOf(c, protocol, port, asked), raw(47, Buffer.alloc(9))), more))
    case 6: {
      const pod = c.of(t.pod1, t.pod1, t.pod3).ip[family]
      const [to, segment] = c.of(
        [frontend, segmentOf(c, protocol, port, asked)],
        [t.node[family], segmentOf(c, protocol, 8080, natPort(c))],
      )
      return atHostEnd(t.reached(pod, to, segment, more))
    }
    default:
      return t.reached(client, frontend, segmentOf(c, protocol, port, asked), more)
  }
}

/** That of the first pod. */
function atHostEnd({ program, arrival }: t.Packet): t.Packet {
  const { ifIndex } = t.pod1
  return { program, arrival: { ...arrival, ifIndex, ingressIfIndex: ifIndex } }
}

export function damaged(c: Chance, { program, arrival }: t.Packet): t.Packet {
  const packet = Buffer.from(arrival.packet)
  packet[12 + c.below(Math.min(packet.length - 12, 70))] = c.below(256)
  return { program, arrival: { ...arrival, packet } }
}

function anyBackendChange(c: Chance, family: Family): Change {
  const id = 10 * family + c.below(4) + 1
  if (c.rarely(6)) return backendGoes(id)
  const port = c.rarely(4) ? 80 : 8080
  return backendIs({ id, ip: c.of(...places)[family], port, protocol: protocols.tcp, state: c.rarely(5) ? 'draining' : 'active' })
}

function anyFrontend(c: Chance, family: Family): Change[] {
  const [which, port, protocol] = [c.below(frontendIps.length), c.below(ports.length), c.below(kinds.length)]
  const frontend = 100 * family + which * 20 + port * 5 + protocol
  const anyFlags = (['sourceRanges', 'hashed', 'local'] satisfies (keyof typeof serviceFlag)[]).filter(() => c.rarely(6))
  const flags: (keyof typeof serviceFlag)[] = c.rarely(8) ? ['local', 'keepSource'] : anyFlags
  const at = { ip: (frontendIps[which] ?? t.node)[family], port: ports[port] ?? 80, protocol: kinds[protocol] ?? protocols.tcp }
  const set = 10 * family + c.below(3)
  return serviceIs({ ...at, scope: c.rarely(4) ? 'inside' : 'outside', frontend, set, flags, affinitySeconds: c.rarely(4) ? 100 : 0 })
}

/** What processes and time may do. */
export function anyNodeChange(c: Chance, world: World): Change[] {
  const family = c.of(4, 6) as Family
  const pod = c.of(t.pod1, t.pod3)
  switch (c.below(9)) {
    case 0:
      return [t.modeIs(mode.service | c.of(0, mode.forward, mode.forward | mode.policy, mode.forward | mode.learn | mode.guard))]
    case 1:
      return [
        { ...t.addressOf(pod, family, c.rarely(3) ? { state: addressState.exclusive } : {}), ...(c.rarely(3) && { value: undefined }) },
      ]
    case 2: {
      const all = nodeFlowsOf(world)
      const entry = all[c.below(all.length)]
      const gone = entry && ({ map: entry.map, key: entry.key, value: undefined } as const)
      return entry === undefined
        ? []
        : [c.rarely(3) ? gone : row(entry.map, entry.key, { ...entry.value, seen: ago(200) })].filter(x => x !== undefined)
    }
    case 3:
      return [rangeOf(100 * family + c.below(40), c.of(...clients)[family], family === 4 ? 24 : 64)]
    case 4:
      return setIs(
        10 * family + c.below(3),
        Array.from({ length: c.below(4) }, () => 10 * family + c.below(4) + 1),
      )
    case 5:
      return [t.policyOf(pod, { enforce: c.below(4), revision: c.below(3) })]
    case 6:
      return anyFrontend(c, family)
    default:
      return [anyBackendChange(c, family)]
  }
}

export function anyNodeRows(c: Chance): Change[] {
  const services = Array.from({ length: 30 }, () => t.families.flatMap(family => anyFrontend(c, family))).flat()
  const sets = t.families.flatMap(family =>
    [0, 1, 2].flatMap(n =>
      setIs(
        10 * family + n,
        Array.from({ length: c.below(4) }, () => 10 * family + c.below(4) + 1),
      ),
    ),
  )
  const backends = Array.from({ length: 20 }, () => t.families.map(family => anyBackendChange(c, family))).flat()
  return [
    ...t.nodeRows(),
    ...(c.rarely(2) ? [t.creditIs()] : []),
    t.nodeIs({ natPortFirst: firstNatPort, natPortLast: firstNatPort + 3 }),
    ...[t.endpointOf(t.pod3, { outIfIndex: t.nodeDevice, mtu: 1400 }), t.modeIs(t.everything | mode.service)],
    ...[...services, ...sets, ...backends],
  ]
}
