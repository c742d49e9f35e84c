// SPDX-License-Identifier: Apache-2.0
// What a packet's way through a node costs, against the way from host to host over the same fabric: regular mode, with and without rules like
// kube-proxy's, and DataPath V2; from pod to pod, by way of Services, and from the node itself. Two nodes of each kind stand side by side, and every
// round measures all of them in turn.
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Between, type Cell, cells, figureOf, type Kind, kindNames } from './datapath/cells.ts'
import { NodeCgroups } from './datapath/cgroups.ts'
import { floodRows } from './datapath/flood.ts'
import { type Ends, measure, type Result } from './datapath/load.ts'
import { type MadeNode, makeReady } from './datapath/node.ts'
import { profileRows } from './datapath/profile.ts'
import { type Pairs, proven, stackForwards } from './datapath/proof.ts'
import { pathRows, programRows, rounds, sizeRows } from './datapath/rows.ts'
import { runFigure } from './datapath/run-figures.ts'
import { type Family, serviceOf, type Wanted } from './datapath/services.ts'
import { Surveyor } from './datapath/survey.ts'
import { testRuns } from './datapath/test-run.ts'
import { addressesOf, type BenchNode, type BenchPod, makeFabric, makeNode, makePod } from './datapath/world.ts'
import { row, writeRows } from './measure/row.ts'
import { isolated } from './node/isolate.ts'

const port = 7777
/** No policy allows it. */
const forbidden = 7778

const hosts = [101, 102].map((number): BenchNode => ({ name: `host-${number}`, number })) as [BenchNode, BenchNode]

/** What Services lead to, by number. */
const wantedAt = { pod: 0, node: 1, podByUdp: 2 } as const

function endsOf({ way, family, work }: Pick<Cell, 'way' | 'family' | 'work'>, pairs: Pairs): Ends {
  if (way.kind === 'host') return nodeEnds(family, ...hosts)
  const [first, second] = pairs[way.kind]
  const service = (n: number) => serviceOf(first.services, n, family)
  const ways: Readonly<Record<Between, () => Ends>> = {
    crossnode: () => podEnds(family, podOf(first, 0), podOf(second, 0)),
    samenode: () => podEnds(family, podOf(first, 0), podOf(first, 1)),
    service: () => ({
      ...podEnds(family, podOf(first, 0), podOf(second, 0)),
      to: service(work === 'udp_rr' ? wantedAt.podByUdp : wantedAt.pod),
    }),
    node: () => nodeEnds(family, first.node, second.node, first.cgroup),
    socket: () => ({ ...nodeEnds(family, first.node, second.node, first.cgroup), to: service(wantedAt.node) }),
  }
  return ways[way.between]()
}

function podOf({ node, pods }: MadeNode, n: number): BenchPod {
  const pod = pods[n]
  if (pod === undefined) throw new Error(`${node.name} has no pod ${n}`)
  return pod
}

function podEnds(family: Family, client: BenchPod, server: BenchPod): Ends {
  const ip = server[`v${family}`].address
  return { client: { netns: client.name }, server: { netns: server.name, ip, port }, to: { ip, port } }
}

function nodeEnds(family: Family, client: BenchNode, server: BenchNode, cgroup?: string): Ends {
  const ip = addressesOf(server)[`v${family}`]
  return { client: { netns: client.name, cgroup }, server: { netns: server.name, ip, port }, to: { ip, port } }
}

async function makePair(kind: Kind, dir: string, cgroups: NodeCgroups): Promise<readonly [MadeNode, MadeNode]> {
  const nodes = [1, 2].map((n): BenchNode => ({ name: `${kind}-${n}`, number: 2 * kindNames.indexOf(kind) + n }))
  const withPods = nodes.map(node => {
    makeNode(node)
    return { node, pods: [makePod(node, 1), makePod(node, 2)] }
  })
  const allowed = { addresses: withPods.flatMap(({ pods }) => pods.flatMap(pod => [pod.v4.address, pod.v6.address])), port }
  const wanted = withPods.slice(1).flatMap(({ node, pods: [pod] }) => (pod === undefined ? [] : wantedOf(node, pod)))
  const made: MadeNode[] = []
  for (const { node, pods } of withPods) {
    made.push(await makeReady(node, { kind, pods, dir, cgroup: cgroups.make(node.name), allowed, wanted }))
  }
  const [first, second] = made
  if (first === undefined || second === undefined) throw new Error('a pair is two nodes')
  return [first, second]
}

/** In the order of `wantedAt`: the second node's first pod, that node itself, and the pod once more. */
function wantedOf(node: BenchNode, pod: BenchPod): readonly Wanted[] {
  const toPod = { ips: { v4: pod.v4.address, v6: pod.v6.address }, port }
  return [
    { protocol: 'TCP', endpoint: toPod },
    { protocol: 'TCP', endpoint: { ips: addressesOf(node), port } },
    { protocol: 'UDP', endpoint: toPod },
  ]
}

/** Every cell once a round. */
async function measureAll(pairs: Pairs, surveyor: Surveyor): Promise<ReadonlyMap<string, readonly Result[]>> {
  const results = new Map<string, Result[]>()
  for (let round = 0; round < rounds; round++) {
    await surveyor.survey()
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
  const between = (way: Between) => endsOf({ way: { kind: 'v2', between: way }, family: 4, work: 'tcp_rr' }, pairs)
  const direct = between('crossnode')
  const refused = { ...direct, server: { ...direct.server, port: forbidden }, to: { ...direct.to, port: forbidden } }
  if (measure({ work: 'udp_rr', cpus: 1 }, refused, { ms: 50 }).count > 0) throw new Error('the policy does not hold')
  const before = stackForwards(pairs)
  const surveyor = await Surveyor.of(pairs)
  const results = await measureAll(pairs, surveyor)
  const flood = await floodRows()
  await surveyor.survey()
  const profile = profileRows(cell => endsOf(cell, pairs))
  await surveyor.close()
  const runs = testRuns(4).map(({ id, ns }) => row(runFigure(id), [ns / 1000]))
  await proven(pairs, before)
  writeRows('datapath', [...pathRows(results), ...flood, ...sizeRows(pairs), ...programRows(pairs.v2, between), ...runs, ...profile])
  cgroups.remove()
})
