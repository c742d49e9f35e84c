// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import { before, test } from 'node:test'
import { unaccounted } from '../../lab/agree.ts'
import { askCloud } from '../../lab/cloud/enis.ts'
import { get } from '../../lab/get.ts'
import { expectClients, fromPod, hostPort } from '../../lab/http.ts'
import type { Lab } from '../../lab/lab.ts'
import { leasesOf } from '../../lab/ledger.ts'
import { ipOf, ipsOf, type Pod, podsOf } from '../../lab/pods.ts'
import { until } from '../../lab/process.ts'
import { lines, tentative, terwayState } from './terway-kernel.ts'
import { agreed, endLabAfterTests, startLab } from './terway-lab.ts'
import { appPort, deletePods, reached, startPod } from './terway-pods.ts'

/*
 * A cluster whose pods and Services have IPv6 alone: the family in which a kubelet probes, and in which nothing of IPv4 can stand
 * in for what is missing. Machines keep IPv4.
 */
const name = `terway6-${process.pid}`
let lab: Lab
let pods: readonly Pod[]

before(async () => {
  lab = await startLab(name, 'ipv6')
})
endLabAfterTests(name)

const identityOf = (node: string) => lab.node(node).identity

/** A Service before the pod of this name; its address. */
async function serviceOf(pod: string, targetPort = appPort): Promise<string> {
  const spec = { selector: { test: pod }, ports: [{ port: 80, targetPort }] }
  await lab.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata: { name: pod }, spec }))
  const { spec: made } = await get<{ readonly spec: { readonly clusterIPs: readonly string[] } }>(lab, 'service', pod)
  assert.deepEqual(made.clusterIPs.map(isIP), [6])
  return hostPort(made.clusterIPs[0] ?? '', 80)
}

/** Asks until there is an answer: kube-proxy takes its time to learn of an endpoint. */
async function ask(from: Pod, target: string, client: string): Promise<void> {
  await until(`${target} answers ${from.metadata.name}`, 120_000, async () => {
    const answers = await fromPod(lab, from, [target])
    return answers.every(a => a.client !== undefined) && expectClients(answers, () => client)
  })
}

test('a pod has one IPv6 address, and the kubelet reaches it: it is ready when it has answered a probe', async () => {
  pods = await Promise.all(lab.nodes().map(node => startPod(lab, `on-${node.name}`, { node: node.name, probed: true })))
  assert.deepEqual(
    pods.map(pod => ipsOf(pod).map(isIP)),
    [[6], [6]],
  )
  const enis = await askCloud(lab)
  const owners = pods.map(pod => enis.find(eni => eni.ipv6.includes(ipOf(pod, 6)))?.instanceId)
  assert.deepEqual(
    owners,
    lab.state.nodes.map(n => n.identity.instanceId),
  )
  await reached(lab, pods.flatMap(ipsOf))
  for (const node of lab.nodes()) assert.deepEqual(await tentative(node), [])
  await agreed(lab)
})

test('a node has nothing of IPv4 for pods, and keeps its own for control', async () => {
  for (const node of lab.nodes()) {
    assert.deepEqual(
      (await terwayState(node)).filter(line => /10\.10\.\d/.test(line) && !/ dev eth0/.test(line)),
      [],
    )
    const { address, address6 } = node.identity
    const daemon = (await podsOf(lab, 'app=terway-eniip')).find(p => p.spec.nodeName === node.name) ?? assert.fail('no daemon')
    assert.deepEqual(ipsOf(daemon), [address, address6], 'IPv4 first: the API server asks the kubelet by it')
  }
})

test('a Service is reached from the other node, and by its own pod', async () => {
  const [here, there] = [pods[0] ?? assert.fail('no pod'), pods[1] ?? assert.fail('no pod')]
  const door = await serviceOf('on-node1')
  await ask(there, door, ipOf(there, 6))
  // kube-proxy translates this one case.
  await ask(here, door, identityOf('node1').address6 ?? '')
})

test("a Service leads to a pod on its node's own network, and the one of the API server to the API server", async () => {
  // Terway's controller has 8080 on its node.
  const port = 18080
  await startPod(lab, 'on-host', { node: 'node2', hostNetwork: true, port, probed: true })
  const door = await serviceOf('on-host', port)
  for (const pod of pods) await ask(pod, door, ipOf(pod, 6))
  // What is no TLS is answered in clear text.
  const api = ['busybox', 'wget', '-q', '-O', '-', 'http://[fd00:172:21::1]:443/']
  for (const { metadata } of pods) assert.match((await lab.kubectlRaw(['exec', metadata.name, '--', ...api])).stderr, /400 Bad Request/)
})

test('when the pods are gone nothing is left of them', async () => {
  await deletePods(lab, 'on-node1', 'on-node2', 'on-host')
  for (const node of lab.nodes()) {
    await until(`no lease on ${node.name}`, 120_000, () => leasesOf(lab, node.name)?.length === 0)
    await until(
      `no device of a pod on ${node.name}`,
      120_000,
      async () => !/ cali/.test((await lines(node, 'ip', '-o', 'link')).join('\n')),
    )
    assert.deepEqual(
      (await terwayState(node)).filter(line => /^(512|2048):| dev cali/.test(line)),
      [],
    )
  }
  await until('every ENI is accounted for', 120_000, async () => (await unaccounted(lab)).length === 0, 500)
  await agreed(lab)
})
