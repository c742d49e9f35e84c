// SPDX-License-Identifier: Apache-2.0
// What a packet's way through a node costs, against the way from host to host over the same fabric: regular mode, with and without rules like
// kube-proxy's, and DataPath V2; from pod to pod, by way of Services, and from the node itself. Two nodes of each kind stand side by side, and every
// round measures all of them in turn.
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Between, type Cell, cells, figureOf, type Kind, kindNames } from './datapath/cells.ts'
import { NodeCgroups } from './datapath/cgroups.ts'
import { type Ends, measure, type Result } from './datapath/load.ts'
import { type MadeNode, makeReady } from './datapath/node.ts'
import { type Pairs, proven, stackForwards } from './datapath/proof.ts'
import { pathRows, programRows, rounds, sizeRows } from './datapath/rows.ts'
import { serviceOf } from './datapath/services.ts'
import { addressOf, type BenchNode, makeFabric, makeNode, makePod } from './datapath/world.ts'
import { writeRows } from './measure/row.ts'
import { isolated } from './node/isolate.ts'

const port = 7777
/** No policy allows it. */
const forbidden = 7778

const hosts = [101, 102].map((number): BenchNode => ({ name: `host-${number}`, number })) as [BenchNode, BenchNode]

function endsOf({ way }: Pick<Cell, 'way'>, pairs: Pairs): Ends {
  if (way.kind === 'host') return nodeEnds(...hosts)
  const [first, second] = pairs[way.kind]
  const ways: Readonly<Record<Between, () => Ends>> = {
    crossnode: () => podEnds(podOf(first, 0), podOf(second, 0)),
    samenode: () => podEnds(podOf(first, 0), podOf(first, 1)),
    service: () => ({ ...podEnds(podOf(first, 0), podOf(second, 0)), to: serviceOf(first.services, 0) }),
    node: () => nodeEnds(first.node, second.node, first.cgroup),
    socket: () => ({ ...nodeEnds(first.node, second.node, first.cgroup), to: serviceOf(first.services, 1) }),
  }
  return ways[way.between]()
}

interface PodEnd {
  readonly netns: string
  readonly ip: string
}

function podOf({ node, pods }: MadeNode, n: number): PodEnd {
  const pod = pods[n]
  if (pod?.v4 === undefined) throw new Error(`${node.name} has no pod ${n}`)
  return { netns: pod.name, ip: pod.v4.address }
}

function podEnds(client: PodEnd, { netns, ip }: PodEnd): Ends {
  return { client: { netns: client.netns }, server: { netns, ip, port }, to: { ip, port } }
}

function nodeEnds(client: BenchNode, server: BenchNode, cgroup?: string): Ends {
  const ip = addressOf(server)
  return { client: { netns: client.name, cgroup }, server: { netns: server.name, ip, port }, to: { ip, port } }
}

async function makePair(kind: Kind, dir: string, cgroups: NodeCgroups): Promise<readonly [MadeNode, MadeNode]> {
  const nodes = [1, 2].map((n): BenchNode => ({ name: `${kind}-${n}`, number: 2 * kindNames.indexOf(kind) + n }))
  const withPods = nodes.map(node => {
    makeNode(node)
    return { node, pods: [makePod(node, 1), makePod(node, 2)] }
  })
  const allowed = { addresses: withPods.flatMap(({ pods }) => pods.flatMap(pod => pod.v4?.address ?? [])), port }
  // Where the second node's first pod is, and the second node itself.
  const targets = [withPods[1]?.pods[0]?.v4?.address, nodes[1] && addressOf(nodes[1])].flatMap(ip =>
    ip === undefined ? [] : [{ ip, port }],
  )
  const made: MadeNode[] = []
  for (const { node, pods } of withPods) {
    made.push(await makeReady(node, { kind, pods, dir, cgroup: cgroups.make(node.name), allowed, targets }))
  }
  const [first, second] = made
  if (first === undefined || second === undefined) throw new Error('a pair is two nodes')
  return [first, second]
}

/** Every cell once a round. */
function measureAll(pairs: Pairs): ReadonlyMap<string, readonly Result[]> {
  const results = new Map<string, Result[]>()
  for (let round = 0; round < rounds; round++) {
    for (const cell of cells) {
      const figure = figureOf(cell)
      results.set(figure, [...(results.get(figure) ?? []), measure(cell, endsOf(cell, pairs))])
    }
    console.log(`datapath: round ${round + 1} of ${rounds}`)
  }
  return results
}

await isolated(async dir => {
  mkdirSync(join(dir, 'bpf'))
  execFileSync('mount', ['-t', 'bpf', 'bpf', join(dir, 'bpf')])
  const cgroups = new NodeCgroups(dir)
  makeFabric()
  hosts.forEach(makeNode)
  const made: [Kind, readonly [MadeNode, MadeNode]][] = []
  for (const kind of kindNames) made.push([kind, await makePair(kind, dir, cgroups)])
  const pairs = Object.fromEntries(made) as unknown as Pairs
  const between = (way: Between) => endsOf({ way: { kind: 'v2', between: way } }, pairs)
  const direct = between('crossnode')
  const refused = { ...direct, server: { ...direct.server, port: forbidden }, to: { ...direct.to, port: forbidden } }
  if (measure({ work: 'udp_rr', cpus: 1 }, refused, { ms: 50 }).count > 0) throw new Error('the policy does not hold')
  const before = stackForwards(pairs)
  const results = measureAll(pairs)
  await proven(pairs, before)
  writeRows('datapath', [...pathRows(results), ...sizeRows(pairs), ...programRows(pairs.v2, between)])
  cgroups.remove()
})
