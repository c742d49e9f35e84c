// SPDX-License-Identifier: Apache-2.0
import { labApp } from '../../deploy/image/list.ts'
import { familyOf } from '../../sim/fabric/address.ts'
import { datapathLabel, terwayName } from '../../src/config/datapath-choice.ts'
import type { DatapathKind } from '../../src/config/datapath-switch.ts'
import type { NodeCr } from '../../src/kube/crd/node.ts'
import { familiesOf } from '../../src/net/stack.ts'
import { beatGoesOn, beatSeconds } from '../beat.ts'
import { get } from '../get.ts'
import { ipOf, isReady, type Pod, podsOf } from '../pods.ts'
import { until } from '../process.ts'
import { inDaemon } from '../terway.ts'
import type { Demo } from './demo.ts'
import { comparedHead, comparedRows, type Figures, figuresFrom } from './figures.ts'
import { table } from './report.ts'

/** So many that a median says something, and so few that a table takes about 10 s. */
const [exchanges, connections] = [3000, 500]
const port = 7000
/** The server, a client on its node and one on another, and who sends beats all the time. */
const parties = { server: 'compare-server', near: 'compare-near', far: 'compare-far', beat: 'compare-beat' } as const

/** How a client reaches the server. */
interface Way {
  readonly name: string
  readonly client: string
  readonly target: string
}

/** Two nodes leave DataPath V2 for the regular mode and come back, with the same pods, while a connection goes on; what packets take is measured in both. */
export async function compare(demo: Demo): Promise<void> {
  const { lab, report } = demo
  const [far, near] = lab.state.nodes.map(n => n.name)
  if (far === undefined || near === undefined) throw new Error('two nodes are needed')
  try {
    const ways = await start(demo, far, near)
    const v2 = await measured(demo, 'DataPath V2', ways)
    const switched = await switchTo(demo, [far, near], 'veth')
    const regular = switched ? await measured(demo, 'regular mode', ways) : []
    await switchTo(demo, [far, near], 'v2')
    await report.check('the connection with a beat each millisecond lived through both switches', async () => {
      await beatGoesOn(lab, parties.beat)
      const seconds = await beatSeconds(lab, parties.beat)
      return `${seconds.at(-1)?.beats} beats, the longest took ${Math.max(...seconds.map(s => s.worst))} ms`
    })
    const rows = ways.flatMap(({ name }, i) => {
      const [a, b] = [v2[i], regular[i]]
      return a === undefined || b === undefined ? [] : [{ way: name, v2: a, regular: b }]
    })
    report.say('', ...table(comparedHead, comparedRows(rows)), '')
    report.say('Once each on a machine with much else to do: no benchmark. That is docs/benchmarks.md, by make bench-datapath.')
  } finally {
    await lab.kubectl(['label', 'nodes', far, near, `${datapathLabel}-`])
    await lab.kubectl(['delete', 'pods,services', '-l', 'demo=compare', '--wait=false'])
  }
}

/** The pods and a Service before the server; each way works when this ends, and the beat goes. */
async function start({ lab, report, options }: Demo, far: string, near: string): Promise<readonly Way[]> {
  const serve = ['serve', String(port)]
  await apply(pod(parties.server, near, serve), pod(parties.near, near, serve), pod(parties.far, far, serve), service)
  const pods = await ready(3)
  const [family] = familiesOf(options.stack)
  const server = pods.find(p => p.metadata.name === parties.server)
  if (family === undefined || server === undefined) throw new Error(`there is no ${parties.server}`)
  const direct = ipOf(server, family)
  const { clusterIPs } = (await get<{ spec: { clusterIPs: readonly string[] } }>(lab, 'service', parties.server)).spec
  const door = clusterIPs.find(ip => familyOf(ip) === family) ?? ''
  await apply(pod(parties.beat, far, ['ask', direct, String(port)]))
  await ready(4)
  await report.check(`a connection from ${far} to ${near} with a beat each millisecond, and a Service before the same server`, async () => {
    const beats = beatGoesOn(lab, parties.beat)
    // The first one may come before the nodes know the Service.
    await until('the Service answers', 30_000, async () => (await lab.kubectlRaw(measure(parties.far, door, 1, 1))).code === 0, 250)
    return `${(await beats).at(-1)?.beats} beats`
  })
  return [
    { name: 'two nodes, pod → pod', client: parties.far, target: direct },
    { name: 'one node, pod → pod', client: parties.near, target: direct },
    { name: 'two nodes, pod → ClusterIP', client: parties.far, target: door },
  ]

  async function apply(...items: readonly object[]): Promise<void> {
    await lab.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items }))
  }

  function ready(count: number): Promise<readonly Pod[]> {
    const all = async () => {
      const pods = await podsOf(lab, 'demo=compare')
      return pods.length === count && pods.every(isReady) && pods
    }
    return until(`${count} pods Ready`, 60_000, all, 250)
  }
}

/** One way after the other: they would slow each other. */
async function measured({ lab, report }: Demo, mode: string, ways: readonly Way[]): Promise<readonly Figures[]> {
  const figures: Figures[] = []
  await report.check(`${mode}: ${exchanges} exchanges and ${connections} new connections on each of ${ways.length} ways`, async () => {
    for (const { client, target } of ways) figures.push(figuresFrom(await lab.kubectl(measure(client, target, exchanges, connections))))
    return undefined
  })
  return figures
}

function measure(client: string, target: string, exchanges: number, connections: number): readonly string[] {
  return ['exec', client, '--', 'heartbeat', 'measure', target, String(port), String(exchanges), String(connections)]
}

/** By the nodes' label, as a user would; ended when the nodes' records and what their programs read say so. */
function switchTo({ lab, report }: Demo, nodes: readonly string[], kind: DatapathKind): Promise<boolean> {
  const label = kind === 'veth' ? `${datapathLabel}=veth` : `${datapathLabel}-`
  const forwards = kind === 'v2'
  return report.check(`kubectl label nodes ${nodes.join(' ')} ${label}: they forward by ${terwayName(kind)}`, async () => {
    await lab.kubectl(['label', 'nodes', ...nodes, label])
    const modes = await Promise.all(
      nodes.map(node => until(`${node} forwards by ${terwayName(kind)}`, 60_000, () => forwarding(node), 100)),
    )
    return modes.join('; ')
  })

  async function forwarding(node: string): Promise<string | false> {
    const { spec } = await get<NodeCr>(lab, 'nodes.network.alibabacloud.com', node)
    if (spec.datapath?.type !== terwayName(kind)) return false
    const mode = /^mode: (.*)$/m.exec(await inDaemon(lab, node, 'terway-cli', 'datapath', 'status'))?.[1] ?? ''
    return mode.split(', ').includes('forward') === forwards && `${node}: ${mode}`
  }
}

const labels = (name: string) => ({ demo: 'compare', app: name })

function pod(name: string, nodeName: string, args: readonly string[]): object {
  const container = { name: 'heartbeat', image: labApp.ref, imagePullPolicy: 'Never', command: ['/bin/heartbeat'], args }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels: labels(name) },
    spec: { nodeName, terminationGracePeriodSeconds: 1, restartPolicy: 'Never', containers: [container] },
  }
}

const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: parties.server, namespace: 'default', labels: labels(parties.server) },
  spec: { ipFamilyPolicy: 'PreferDualStack', selector: { app: parties.server }, ports: [{ port }] },
}
