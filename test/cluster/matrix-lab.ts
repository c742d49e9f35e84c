// SPDX-License-Identifier: Apache-2.0
import type { Lab } from '../../lab/lab.ts'
import { addressesOf } from '../../lab/node/config.ts'
import type { Pod } from '../../lab/pods.ts'
import { until } from '../../lab/process.ts'
import { readyPods } from '../../lab/terway.ts'
import { seed } from '../../lab/vpc.ts'
import { appPort, hostPortOfPods, type Parties, serviceOf } from './matrix-run.ts'
import { lines } from './terway-kernel.ts'
import { startPod } from './terway-pods.ts'

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
  await lab.kubectl(['-n', 'kube-system', 'rollout', 'status', 'daemonset/terway-eniip', '--timeout=120s'])
  await readyPods(lab, 'app=terway-eniip', lab.state.nodes.length)
}

/** A Service before one pod, with a port on every node, TCP and UDP. */
function service(name: string): object {
  const port = { port: 80, targetPort: appPort, nodePort: nodePortOf(name) }
  const ports = ['TCP', 'UDP'].map(protocol => ({ name: protocol.toLowerCase(), protocol, ...port }))
  const spec = { type: 'NodePort', ipFamilyPolicy: 'RequireDualStack', selector: { test: name }, ports }
  return { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec }
}

/** One number for both protocols, which the API server would not give by itself. */
const nodePortOf = (name: string) => 30_000 + Number(/\d+$/.exec(name)?.[0] ?? 0) + (name.startsWith('asks') ? 100 : 0)

export async function startParties(lab: Lab): Promise<Parties> {
  const nodes = lab.nodes().map(n => n.name)
  const names = nodes.flatMap(node => [`answers-${node}`, `asks-${node}`])
  await lab.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: names.map(service) }))
  const start = (node: string, name: string, port?: number) => startPod(lab, name, { node, ...(port !== undefined && { hostPort: port }) })
  const [answering, asking] = await Promise.all([
    Promise.all(nodes.map(node => start(node, `answers-${node}`, hostPortOfPods))),
    Promise.all(nodes.map(node => start(node, `asks-${node}`))),
  ])
  const byNode = (pods: readonly Pod[]) => new Map(pods.map(pod => [pod.spec.nodeName ?? '', pod]))
  const services = async (kind: string) =>
    new Map(await Promise.all(nodes.map(async node => [node, await serviceOf(lab, `${kind}-${node}`)] as const)))
  await proxied(lab, names)
  return {
    ...{ lab, answering: byNode(answering), asking: byNode(asking) },
    ...{ services: await services('answers'), ownServices: await services('asks') },
    elastic: new Map(elastic.map(e => [e.private4, e.public4])),
  }
}

/** kube-proxy of every node has learned of every Service: its NodePort is open, in both families. */
async function proxied(lab: Lab, names: readonly string[]): Promise<void> {
  for (const node of lab.nodes())
    await until(`kube-proxy of ${node.name} knows all Services`, 60_000, async () => {
      const targets = names.flatMap(name => addressesOf(node.identity).map(ip => `tcp ${ip} ${nodePortOf(name)}`))
      return !/\|$/m.test((await lines(node, `${import.meta.dirname}/../../build/app`, 'ask', ...targets)).join('\n'))
    })
}
