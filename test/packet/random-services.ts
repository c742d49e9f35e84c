// SPDX-License-Identifier: Apache-2.0
import { flowFlag, flowState, flowWay, serviceFlag } from '#kernel/bpf/words.ts'
import { type Family, type Ip, parseIp } from '#net/ip.ts'
import type { Chance } from '../support/chance.ts'
import { protocols, type Segment } from './build.ts'
import { backendGoes, backendIs, rangeOf, serviceIs, setIs } from './services.ts'
import * as t from './topology.ts'
import { type Change, row, rowsOf, type World } from './world.ts'

/** Services by chance: few of them, with few backends, so that their flows meet. */

const both = (v4: string, v6: string): Readonly<Record<Family, Ip>> => ({ 4: parseIp(v4), 6: parseIp(v6) })
const otherService = both('10.96.0.2', 'fd00:96::2')
const external = both('203.0.113.80', '2001:db8:9::80')
const { tcp, udp, sctp } = protocols

/** A frontend's number is never another one's, as long as there may be flows. */
const frontends = ([4, 6] as const).flatMap(family =>
  (
    [
      [t.service, 80, tcp],
      [t.service, 80, udp],
      [t.service, 53, udp],
      [t.service, 80, sctp],
      [otherService, 80, tcp],
      [otherService, 53, udp],
      [external, 80, tcp],
      [external, 53, udp],
      [t.node, 30080, tcp],
    ] as const
  ).map(([ips, port, protocol], i) => ({ family, ip: ips[family], port, protocol, frontend: i + (family === 4 ? 1 : 21) })),
)
const frontendsOf = (family: Family) => frontends.filter(f => f.family === family) as [(typeof frontends)[0], ...typeof frontends]

const base = (family: Family) => (family === 4 ? 0 : 20)
const anySet = (c: Chance, family: Family) => base(family) + c.of(1, 2)
const anyBackend = (c: Chance, family: Family) => base(family) + c.of(1, 2, 3, 4, 5, 6)

/** A packet of a pod to a Service. */
export function asks(
  c: Chance,
  family: Family,
  transport: (c: Chance, protocol: number, from: number, to: number) => Segment,
): { readonly ip: Ip; readonly segment: Segment } {
  const { ip, port, protocol } = c.of(...frontendsOf(family))
  return { ip, segment: transport(c, c.rarely(20) ? udp : protocol, c.of(80, 53, 40000, 40001), c.rarely(20) ? 81 : port) }
}

interface End {
  readonly ip: Ip
  readonly port: number
}

/** One of the flows that there are, and the pod that it is of. */
export function flowIn(
  c: Chance,
  world: World,
): { readonly pod: t.Pod; readonly local: End; readonly remote: End; readonly protocol: number } | undefined {
  const all = [...rowsOf(world, 'flows'), ...rowsOf(world, 'new_flows')]
  const key = all[c.below(all.length)]?.key
  const pod = t.pods.find(({ ip }) => key?.local !== undefined && Object.values(ip).includes(key.local))
  if (key?.local === undefined || key.remote === undefined || pod === undefined) return undefined
  const [local, remote] = [
    { ip: key.local, port: key.localPort },
    { ip: key.remote, port: key.remotePort },
  ]
  return { pod, local, remote, protocol: key.protocol }
}

function anyService(c: Chance, family: Family): Change[] {
  const frontend = c.of(...frontendsOf(family))
  const flags = (Object.keys(serviceFlag) as (keyof typeof serviceFlag)[]).filter(flag => flag !== 'keepSource' && c.rarely(5))
  const rows = serviceIs({ ...frontend, set: anySet(c, family), flags, affinitySeconds: c.rarely(4) ? 100 : 0 })
  return c.rarely(6) ? rows.map(change => (change.map === 'services' ? { ...change, value: undefined } : change)) : rows
}

function anySetRows(c: Chance, family: Family): Change[] {
  const set = anySet(c, family)
  if (c.rarely(8)) return [row('backend_sets', { set }, { count: c.below(3) })]
  return setIs(
    set,
    Array.from({ length: c.below(7) }, () => anyBackend(c, family)),
  )
}

function anyBackendRow(c: Chance, family: Family, id: number): Change {
  const ip = c.of(t.pod1.ip, t.pod2.ip, t.pod3.ip, t.remote, t.otherRemote, t.node, t.hostCidr)[family]
  const state = c.rarely(5) ? 'draining' : 'active'
  const port = c.of(80, 53, 54)
  return c.rarely(6) ? backendGoes(id) : backendIs({ id, ip, port, protocol: tcp, state })
}

/** What the process that writes Services could do. */
export function anyServiceChange(c: Chance, family: Family): Change[] {
  switch (c.below(8)) {
    case 0:
    case 1:
      return anyService(c, family)
    case 2:
      return anySetRows(c, family)
    case 3:
      return [rangeOf(c.of(...frontendsOf(family)).frontend, c.of(t.pod1, t.pod2, t.pod3).ip[family], c.of(8, 24, 32))]
    case 4: {
      const { frontend, ip, port, protocol } = c.of(...frontendsOf(family))
      const change = row('frontends', { frontend }, { ip, port, protocol })
      return [c.rarely(4) ? { ...change, value: undefined } : change]
    }
    default:
      return [anyBackendRow(c, family, anyBackend(c, family))]
  }
}

/** A flow that kube-proxy translated before, and where it led to. */
export function anyTaken(c: Chance, pod: t.Pod, family: Family, now: number): Change[] {
  const { ip, port, protocol } = c.of(...frontendsOf(family))
  const key = { local: pod.ip[family], remote: ip, localPort: c.of(40000, 40001), remotePort: port, protocol }
  const flags = flowFlag.answered | flowFlag.imported
  const value = { seen: now, state: flowState.open, way: flowWay.host, flags, localIncarnation: pod.incarnation }
  return [row('flows', key, { ...value, backend: anyBackend(c, family), identity: 2 }), { ...row('new_flows', key, {}), value: undefined }]
}

/** A flow of somebody who asked the node for a pod. */
export function anyAsked(c: Chance, pod: t.Pod, family: Family, now: number): Change[] {
  const { frontend, protocol } = c.of(...frontendsOf(family))
  const key = {
    local: pod.ip[family],
    remote: c.of(t.remote, t.otherRemote)[family],
    localPort: c.of(80, 53),
    remotePort: c.of(40000, 40001),
    protocol,
  }
  const value = { seen: now, state: flowState.new, way: flowWay.direct, flags: flowFlag.remoteFirst, localIncarnation: pod.incarnation }
  return [row('new_flows', key, { ...value, frontend, identity: 2 }), { ...row('flows', key, {}), value: undefined }]
}

export function anyServices(c: Chance): Change[] {
  return t.families.flatMap(family => [
    ...frontendsOf(family).flatMap(frontend => serviceIs({ ...frontend, set: anySet(c, family) })),
    ...[1, 2, 3, 4, 5, 6].map(n => anyBackendRow(c, family, base(family) + n)),
    ...Array.from({ length: 4 }, () => anySetRows(c, family)).flat(),
  ])
}
