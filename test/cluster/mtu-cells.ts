// SPDX-License-Identifier: Apache-2.0
import { basename } from 'node:path'
import { get } from '../../lab/get.ts'
import { ipOf, type Pod } from '../../lab/pods.ts'
import { until } from '../../lab/process.ts'
import { familyOf } from '../../sim/fabric/address.ts'
import { Probe, port } from '../kernel/datapath-lab.ts'
import type { Family, Parties, Service } from './matrix-run.ts'
import { lines } from './terway-kernel.ts'
import { leaseOf } from './terway-pods.ts'

/**
 * Pods of MTU 8500 and of 1500 send each other more than a packet has: a stream, whose sender must find how long a segment may be, and a datagram of 4000 bytes,
 * which Linux sends whole and forbids to fragment, until "packet too big" has come back. That it came, and to whom, is what the sender's route has learned.
 */
const [datagram, stream, narrowMtu] = [4000, 500_000, '1500'] as const
const nodePort = 30_700

interface Side {
  readonly node: string
  /** The pod in which a program sends and answers. */
  readonly pod: Pod
  readonly netns: string
  readonly probe: Probe
  readonly mtu: string
  /** Before that pod. */
  readonly service: Service
}

/** What went wrong between pods of these two nodes, directly and by a Service of either kind: nothing when all is well. */
export async function mtuCells(p: Parties, nodes: readonly [string, string]): Promise<readonly string[]> {
  const sides = await Promise.all(nodes.map((node, i) => sideOn(p, node, nodePort + i)))
  const [one, other] = sides
  if (one === undefined || other === undefined) return []
  try {
    const wrong: string[] = one.mtu === other.mtu ? [`both pods have an MTU of ${one.mtu}`] : []
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      const { clusterIPs, ports } = to.service.spec
      for (const family of [4, 6] as const) {
        const ofFamily = (ips: readonly string[]) => ips.find(ip => familyOf(ip) === family) ?? ''
        const { address, address6 = '' } = p.lab.node(to.node).identity
        const doors = [
          [ipOf(to.pod, family), port],
          [ofFamily(clusterIPs), port],
          [family === 4 ? address : address6, ports[0]?.nodePort ?? 0],
        ] as const
        for (const [host, at] of doors) wrong.push(...(await cell(p, from, to, family, host, at)))
      }
    }
    return wrong
  } finally {
    for (const { probe } of sides) await probe.close()
  }
}

async function sideOn(p: Parties, node: string, at: number): Promise<Side> {
  const pod = p.answering.get(node)
  if (pod === undefined) throw new Error(`no pod on ${node}`)
  const { netns } = (await leaseOf(p.lab, node, pod.metadata.name)).attachment
  const probe = new Probe([...(await p.lab.node(node).argv(['nsenter', `--net=${netns}`]))])
  await probe.serve(node)
  const [link = ''] = await lines(p.lab.node(node), 'ip', '-n', basename(netns), '-o', 'link', 'show', 'eth0')
  const service = await serviceOf(p, pod.metadata.name, at)
  return { node, pod, netns, probe, service, mtu: /mtu (\d+)/.exec(link)?.[1] ?? '' }
}

async function serviceOf({ lab }: Parties, pod: string, nodePort: number): Promise<Service> {
  const ports = ['TCP', 'UDP'].map(protocol => ({ name: protocol.toLowerCase(), protocol, port, nodePort }))
  const spec = { type: 'NodePort', ipFamilyPolicy: 'RequireDualStack', selector: { test: pod }, ports }
  const metadata = { name: `mtu-${pod}` }
  await lab.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata, spec }))
  return get<Service>(lab, 'service', metadata.name)
}

async function cell(p: Parties, from: Side, to: Side, family: Family, host: string, at: number): Promise<readonly string[]> {
  const name = `${from.node} (${from.mtu}) to ${to.node} (${to.mtu}) at ${host} ${at}`
  // A Service is as new as that.
  await until(`${name}: somebody answers`, 120_000, async () => (await from.probe.ask(host, 500, at)).startsWith(to.node))
  const answer = await from.probe.ask(host, undefined, at, datagram)
  const streamed = await from.probe.stream(host, stream, at)
  const route = (await lines(p.lab.node(from.node), 'ip', '-n', basename(from.netns), `-${family}`, 'route', 'get', host)).join()
  const learned = /mtu (\d+)/.exec(route)?.[1]
  // A pod whose own packets are short has nothing to learn.
  const wanted = from.mtu === narrowMtu ? undefined : narrowMtu
  return [
    ...(answer.startsWith(`${to.node} `) ? [] : [`${name}: a long datagram: ${answer}`]),
    ...(streamed === 'ok' ? [] : [`${name}: a stream: ${streamed}`]),
    ...(learned === wanted ? [] : [`${name}: the sender has learned ${learned}: ${route}`]),
  ]
}
