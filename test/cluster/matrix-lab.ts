// SPDX-License-Identifier: Apache-2.0
import type { Lab } from '../../lab/lab.ts'
import { addressesOf } from '../../lab/node/config.ts'
import type { Pod } from '../../lab/pods.ts'
import { until } from '../../lab/process.ts'
import { readyPods } from '../../lab/terway.ts'
import { seed } from '../../lab/vpc.ts'
import { appPort, hostPortOfPods, type Parties, type Service, serviceOf } from './matrix-run.ts'
import { lines } from './terway-kernel.ts'
import { type PodWish, startPod } from './terway-pods.ts'

/** Public addresses for the first machines of the vSwitches: control plane and nodes. */
const elastic = [
  ...[1, 2, 3, 4].map(n => ({ private4: `10.10.1.${n}`, public4: `203.0.113.1${n}` })),
  ...[1, 2].map(n => ({ private4: `10.10.3.${n}`, public4: `203.0.113.3${n}` })),
]
const everybody = ['0.0.0.0/0', '::/0'].map(cidr => ({
  ...{ direction: 'ingress', policy: 'accept', priority: 1, protocol: 'all', peer: { cidr } },
}))
/** The lab's VPC with machines that the internet reaches: what a packet meets on its way is the nodes' affair here, not the cloud's. */
export const openSeed = {
  ...seed,
  vpc: { ...seed.vpc, eips: elastic },
  securityGroups: ['sg-machines', 'sg-pods'].map(id => ({ id, intraGroup: true, rules: everybody })),
}

/** The CNI list with portmap behind Terway, in all daemons. The chart must have been installed. */
export async function chainPortmap(lab: Lab): Promise<void> {
  for (const node of lab.nodes()) await lines(node, 'cp', '/usr/lib/cni/portmap', '/opt/cni/bin/portmap')
  const configMap = ['-n', 'kube-system', 'configmap', 'eni-config']
  const { data } = JSON.parse(await lab.kubectl(['get', ...configMap, '-o', 'json']))
  const plugins = [JSON.parse(data['10-terway.conf']), { type: 'portmap', capabilities: { portMappings: true }, snat: true }]
  const list = JSON.stringify({ cniVersion: '1.0.0', name: 'terway', plugins })
  await lab.kubectl(['patch', ...configMap, '--type=merge', '-p', JSON.stringify({ data: { '10-terway.conflist': list } })])
  await lab.kubectl(['-n', 'kube-system', 'rollout', 'restart', 'daemonset/terway-eniip'])
  await lab.kubectl(['-n', 'kube-system', 'rollout', 'status', 'daemonset/terway-eniip', '--timeout=300s'])
  await readyPods(lab, 'app=terway-eniip', lab.state.nodes.length)
}

/** What a Service before one pod has beside the two protocols: its kind, its policies. */
type Kind = (name: string) => object
/** With a port on every node. */
const nodePortService: Kind = () => ({ type: 'NodePort' })
/** With every door that there is; its external addresses are those of all nodes, told apart by the port. */
export const balancedService =
  (lab: Lab): Kind =>
  name => ({
    type: 'LoadBalancer',
    externalIPs: lab.nodes().flatMap(({ identity }) => addressesOf(identity)),
    ...(name.startsWith('local') && { externalTrafficPolicy: 'Local', internalTrafficPolicy: 'Local' }),
  })

function service(name: string, kind: Kind): object {
  const number = numberOf(name)
  const port = { port: 8000 + number, targetPort: appPort, nodePort: 30_000 + number }
  const ports = ['TCP', 'UDP'].map(protocol => ({ name: protocol.toLowerCase(), protocol, ...port }))
  const selector = { test: name.replace(/^local/, 'answers') }
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { ipFamilyPolicy: 'RequireDualStack', selector, ports, ...kind(name) },
  }
}

/** One number for both protocols, which the API server would not give by itself. */
const numberOf = (name: string) => Number(/\d+$/.exec(name)?.[0] ?? 0) + ['answers', 'asks', 'local'].indexOf(name.replace(/-.*/, '')) * 100

/** Pods that ask, pods that answer, and Services before each: with kube-proxy a port of every node, else what `balanced` makes, and once more with policy Local. `more` is of pods on a node. */
export async function startParties(lab: Lab, balanced?: Kind, more: (node: string) => Partial<PodWish> = () => ({})): Promise<Parties> {
  const nodes = lab.nodes().map(n => n.name)
  const names = nodes.flatMap(node => [`answers-${node}`, `asks-${node}`, ...(balanced === undefined ? [] : [`local-${node}`])])
  const items = names.map(name => service(name, balanced ?? nodePortService))
  await lab.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items }))
  const start = (node: string, name: string, port?: number) =>
    startPod(lab, name, { node, ...(port !== undefined && { hostPort: port }), ...more(node) })
  const [answering, asking] = await Promise.all([
    Promise.all(nodes.map(node => start(node, `answers-${node}`, hostPortOfPods))),
    Promise.all(nodes.map(node => start(node, `asks-${node}`))),
  ])
  const byNode = (pods: readonly Pod[]) => new Map(pods.map(pod => [pod.spec.nodeName ?? '', pod]))
  const ready = (service: Service) => balanced === undefined || service.status.loadBalancer.ingress !== undefined
  const services = async (kind: string) =>
    new Map(
      await Promise.all(
        nodes.map(async node => {
          const name = `${kind}-${node}`
          const get = async () => [await serviceOf(lab, name)].find(ready)
          return [node, await until(`Service ${name} has its addresses`, 120_000, get, 250)] as const
        }),
      ),
    )
  await proxied(
    lab,
    names.filter(name => !name.startsWith('local')),
  )
  return {
    ...{ lab, answering: byNode(answering), asking: byNode(asking), ownServices: await services('asks') },
    services: { Cluster: await services('answers'), ...(balanced !== undefined && { Local: await services('local') }) },
    elastic: new Map(elastic.map(e => [e.private4, e.public4])),
  }
}

/** Who translates on each node has learned of every Service: its NodePort is open there, in both families. */
async function proxied(lab: Lab, names: readonly string[]): Promise<void> {
  for (const node of lab.nodes())
    await until(`${node.name} knows all Services`, 120_000, async () => {
      const targets = names.flatMap(name => addressesOf(node.identity).map(ip => `tcp ${ip} ${30_000 + numberOf(name)}`))
      return (await lines(node, `${import.meta.dirname}/../../build/app`, 'ask', ...targets)).every(line => line.includes('client='))
    })
}
