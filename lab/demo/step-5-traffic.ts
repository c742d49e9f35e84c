// SPDX-License-Identifier: Apache-2.0
import type { MappingReply } from '../../src/rpc/grpc/messages.ts'
import { askCloud } from '../cloud/enis.ts'
import { expectClients, fromControl, fromNode, fromPod } from '../http.ts'
import { get, type Pod, podsOf } from '../pods.ts'
import { type Demo, settings } from './demo.ts'
import { table } from './report.ts'

/** Addresses against the cloud's own word, then packets in every direction; each server says which client it saw. */
export async function checkTraffic(demo: Demo): Promise<void> {
  const pods = await podsOf(demo.lab, 'app=web')
  const [host] = await podsOf(demo.lab, 'app=on-host')
  if (host === undefined) throw new Error('the pod on-host is gone')
  await checkAddresses(demo, pods)
  await betweenPods(demo, pods)
  await throughService(demo, pods)
  await podsAndNodes(demo, pods, host)
  await internet(demo, pods)
  await securityGroup(demo, pods)
  await showMapping(demo)
}

async function checkAddresses({ lab, report }: Demo, pods: readonly Pod[]): Promise<void> {
  await report.check("the cloud (asked with its own SDK) says that each pod address is on an ENI attached to that pod's node", async () => {
    const enis = await askCloud(lab)
    const instances = new Map(lab.state.nodes.map(n => [n.name, n.identity.instanceId]))
    const wrong = pods.filter(pod => {
      const owner = enis.find(eni => eni.addresses.includes(ipOf(pod)))
      return owner === undefined || owner.status !== 'InUse' || owner.type === 'Primary' || owner.instanceId !== instances.get(nodeOf(pod))
    })
    if (wrong.length > 0) throw new Error(wrong.map(p => `${p.metadata.name} ${ipOf(p)} on ${nodeOf(p)}`).join('; '))
    const used = new Set(pods.map(ipOf))
    if (used.size !== pods.length) throw new Error(`${pods.length} pods share ${used.size} addresses`)
    return `${pods.length} addresses on ${enis.filter(eni => eni.addresses.some(ip => used.has(ip))).length} ENIs`
  })
}

async function betweenPods({ lab, report }: Demo, pods: readonly Pod[]): Promise<void> {
  const enis = await askCloud(lab)
  const vSwitchOf = (pod: Pod) => enis.find(eni => eni.addresses.includes(ipOf(pod)))?.vSwitchId ?? ''
  const nodes = [...new Set(pods.map(nodeOf))].sort()
  for (const node of nodes) {
    const source = pods.find(p => nodeOf(p) === node)
    if (source === undefined) continue
    const others = pods.filter(p => p !== source)
    const same = others.filter(p => nodeOf(p) === node)
    const across = others.filter(p => nodeOf(p) !== node)
    const vSwitches = new Set(across.map(vSwitchOf))
    await report.check(`pod on ${node} → every pod on the same node`, () => reach(source, same))
    await report.check(`pod on ${node} (${vSwitchOf(source)}) → every pod on other nodes, in ${[...vSwitches].sort().join(', ')}`, () =>
      reach(source, across),
    )
  }

  async function reach(source: Pod, targets: readonly Pod[]): Promise<string> {
    const answered = await fromPod(lab, source, targets.map(target))
    const names = new Map(targets.map(p => [target(p), p.metadata.name]))
    for (const a of answered) if (a.server !== undefined && a.server !== names.get(a.target)) throw new Error(`${a.target} is ${a.server}`)
    return expectClients(answered, () => ipOf(source))
  }
}

async function throughService({ lab, report }: Demo, pods: readonly Pod[]): Promise<void> {
  const service = await get<{ spec: { clusterIP: string } }>(lab, 'service', 'web')
  const source = one(pods)
  await report.check(`pod → Service ${service.spec.clusterIP}:80, ten connections`, async () => {
    const answered = await fromPod(
      lab,
      source,
      Array.from({ length: 10 }, () => service.spec.clusterIP),
    )
    const known = new Set(pods.map(p => p.metadata.name))
    for (const a of answered) if (!known.has(a.server ?? '')) throw new Error(`the Service answered with ${a.server ?? 'nothing'}`)
    // A pod that reaches itself through the Service is seen with its node's address: kube-proxy translates that one case.
    const others = answered.filter(a => a.server !== source.metadata.name)
    return `${expectClients(others, () => ipOf(source))}, ${new Set(others.map(a => a.server)).size} different pods`
  })
}

async function podsAndNodes({ lab, report }: Demo, pods: readonly Pod[], host: Pod): Promise<void> {
  const near = one(pods.filter(p => nodeOf(p) === nodeOf(host)))
  const far = one(pods.filter(p => nodeOf(p) !== nodeOf(host)))
  const door = `${ipOf(host)}:${settings.hostPort}`
  await report.check(`pod → node: from ${nodeOf(near)} and ${nodeOf(far)} to the pod on ${nodeOf(host)}'s own network`, async () => {
    const both = [await fromPod(lab, near, [door]), await fromPod(lab, far, [door])]
    return [expectClients(both[0] ?? [], () => ipOf(near)), expectClients(both[1] ?? [], () => ipOf(far))].join(', ')
  })
  for (const { name, identity } of lab.state.nodes) {
    const [mine, others] = [pods.filter(p => nodeOf(p) === name), pods.filter(p => nodeOf(p) !== name)]
    await report.check(`node → pod: ${name} to its own and to other nodes' pods`, async () => {
      const targets = [...mine.slice(0, 3), ...others.slice(0, 3)].map(target)
      return expectClients(await fromNode(lab, name, targets), () => identity.address)
    })
  }
}

async function internet({ lab, report }: Demo, pods: readonly Pod[]): Promise<void> {
  await report.check(`pod → internet ${settings.internet} and back, seen there with the VPC's address ${settings.snat}`, async () => {
    const sources = lab.state.nodes.map(n => one(pods.filter(p => nodeOf(p) === n.name)))
    const all = await Promise.all(sources.map(source => fromPod(lab, source, [settings.internet])))
    return expectClients(all.flat(), () => settings.snat)
  })
}

async function securityGroup({ lab, report }: Demo, pods: readonly Pod[]): Promise<void> {
  const pod = one(pods)
  const control = lab.state.control.address
  await report.check(`security group: a machine of the VPC → pod port ${settings.appPort} is allowed`, async () =>
    expectClients(await fromControl(lab, [target(pod)]), () => control),
  )
  await report.check(
    `security group: the same machine → pod port ${settings.closedPort} is refused, though the port is open to other pods`,
    async () => {
      const closed = `${ipOf(pod)}:${settings.closedPort}`
      const neighbour = one(pods.filter(p => p !== pod && nodeOf(p) !== nodeOf(pod)))
      expectClients(await fromPod(lab, neighbour, [closed]), () => ipOf(neighbour))
      const [answer] = await fromControl(lab, [closed])
      if (answer?.client !== undefined) throw new Error(`it answered ${answer.client}`)
      return 'no answer in 3 s'
    },
  )
}

/** node → ENI → address → pod, as each node's daemon tells it. */
async function showMapping({ lab, report }: Demo): Promise<void> {
  const daemons = (await podsOf(lab, 'app=terway-eniip')).toSorted((a, b) => (nodeOf(a) < nodeOf(b) ? -1 : 1))
  const rows: string[][] = []
  await report.check('terway-cli mapping on every node', async () => {
    for (const daemon of daemons) {
      const where = ['exec', '-n', daemon.metadata.namespace, daemon.metadata.name, '-c', 'terway', '--']
      const mapping: MappingReply = JSON.parse(await lab.kubectl([...where, 'terway-cli', 'mapping', '--json']))
      for (const eni of mapping.info) {
        const held = mapping.resource_db.filter(e => e.eni_id === eni.NetworkInterfaceID)
        rows.push([nodeOf(daemon), eni.NetworkInterfaceID, eni.Status, `${held.length} pods, ${eni.Info.length} addresses`, ''])
        for (const e of held) rows.push(['', '', '', e.ipv4, `${e.pod_namespace}/${e.pod_name}`])
      }
    }
    return `${rows.filter(r => r[4] !== '').length} pods`
  })
  report.say('', ...table(['node', 'ENI', 'status', 'address', 'pod'], rows))
}

function ipOf(pod: Pod): string {
  return pod.status.podIP ?? ''
}

function nodeOf(pod: Pod): string {
  return pod.spec.nodeName ?? ''
}

function target(pod: Pod): string {
  return `${ipOf(pod)}:${settings.appPort}`
}

function one(pods: readonly Pod[]): Pod {
  const [pod] = pods
  if (pod === undefined) throw new Error('there is no pod to take')
  return pod
}
