// SPDX-License-Identifier: Apache-2.0

import { familyOf } from '../../sim/fabric/address.ts'
import { familiesOf } from '../../src/net/stack.ts'
import type { MappingReply } from '../../src/rpc/grpc/messages.ts'
import { askCloud, type CloudEni } from '../cloud/enis.ts'
import { get } from '../get.ts'
import { expectClients, fromControl, fromNode, fromPod, hostPort } from '../http.ts'
import type { Identity } from '../node/config.ts'
import { ipOf, ipsOf, type Pod, podsOf } from '../pods.ts'
import { type Demo, settings } from './demo.ts'
import { table } from './report.ts'

/** What is asked once for each family of the stack; the cloud has told of its ENIs. */
interface Traffic extends Demo {
  readonly family: 4 | 6
  readonly enis: readonly CloudEni[]
}

/** Addresses against the cloud's own word, then packets in every direction; each server says which client it saw. */
export async function checkTraffic(demo: Demo): Promise<void> {
  const pods = await podsOf(demo.lab, 'app=web')
  const [host] = await podsOf(demo.lab, 'app=on-host')
  if (host === undefined) throw new Error('the pod on-host is gone')
  const enis = await askCloud(demo.lab)
  await checkAddresses(demo, enis, pods)
  const families = familiesOf(demo.options.stack).map((family): Traffic => ({ ...demo, family, enis }))
  const all = async (traffic: Traffic) => {
    await betweenPods(traffic, pods)
    await throughService(traffic, pods)
    await podsAndNodes(traffic, pods, host)
    await internet(traffic, pods)
  }
  // At once: where a security group lets nobody through, somebody waits in vain for some seconds.
  await Promise.all(families.flatMap(traffic => [all(traffic), securityGroup(traffic, pods)]))
  if (demo.options.stack === 'ipv6') demo.report.say('pods have no IPv4 address, so there is no way to the IPv4 internet')
  await showMapping(demo)
}

async function checkAddresses({ lab, report, options }: Demo, enis: readonly CloudEni[], pods: readonly Pod[]): Promise<void> {
  await report.check("the cloud (asked with its own SDK) says that each pod address is on an ENI attached to that pod's node", () => {
    const instances = new Map(lab.state.nodes.map(n => [n.name, n.identity.instanceId]))
    const families = familiesOf(options.stack)
    const wrong = pods.filter(pod => {
      const owners = new Set(ipsOf(pod).map(ip => ownerOf(enis, ip)))
      const [owner] = owners
      // Both addresses of a pod are on one ENI.
      if (owner === undefined || owners.size > 1 || ipsOf(pod).map(familyOf).join() !== families.join()) return true
      return owner.status !== 'InUse' || owner.type === 'Primary' || owner.instanceId !== instances.get(nodeOf(pod))
    })
    if (wrong.length > 0) throw new Error(wrong.map(p => `${p.metadata.name} ${ipsOf(p).join(' ')} on ${nodeOf(p)}`).join('; '))
    const used = new Set(pods.flatMap(ipsOf))
    const wanted = pods.length * families.length
    if (used.size !== wanted) throw new Error(`${pods.length} pods have ${used.size} addresses, not ${wanted}`)
    return `${used.size} addresses on ${new Set([...used].map(ip => ownerOf(enis, ip))).size} ENIs`
  })
}

async function betweenPods({ lab, report, family, enis }: Traffic, pods: readonly Pod[]): Promise<void> {
  const vSwitchOf = (pod: Pod) => ownerOf(enis, ipOf(pod, family))?.vSwitchId ?? ''
  const nodes = [...new Set(pods.map(nodeOf))].sort()
  for (const node of nodes) {
    const source = pods.find(p => nodeOf(p) === node)
    if (source === undefined) continue
    const others = pods.filter(p => p !== source)
    const same = others.filter(p => nodeOf(p) === node)
    const across = others.filter(p => nodeOf(p) !== node)
    const vSwitches = new Set(across.map(vSwitchOf))
    await report.check(`IPv${family}: pod on ${node} → every pod on the same node`, () => reach(source, same))
    await report.check(
      `IPv${family}: pod on ${node} (${vSwitchOf(source)}) → every pod on other nodes, in ${[...vSwitches].sort().join(', ')}`,
      () => reach(source, across),
    )
  }

  async function reach(source: Pod, targets: readonly Pod[]): Promise<string> {
    const answered = await fromPod(
      lab,
      source,
      targets.map(p => target(p, family)),
    )
    const names = new Map(targets.map(p => [target(p, family), p.metadata.name]))
    for (const a of answered) if (a.server !== undefined && a.server !== names.get(a.target)) throw new Error(`${a.target} is ${a.server}`)
    return expectClients(answered, () => ipOf(source, family))
  }
}

async function throughService({ lab, report, family }: Traffic, pods: readonly Pod[]): Promise<void> {
  const service = await get<{ spec: { clusterIPs: readonly string[] } }>(lab, 'service', 'web')
  const door = hostPort(service.spec.clusterIPs.find(ip => familyOf(ip) === family) ?? '', 80)
  const source = one(pods)
  await report.check(`IPv${family}: pod → Service ${door}, ten connections`, async () => {
    const answered = await fromPod(
      lab,
      source,
      Array.from({ length: 10 }, () => door),
    )
    const known = new Set(pods.map(p => p.metadata.name))
    for (const a of answered) if (!known.has(a.server ?? '')) throw new Error(`the Service answered with ${a.server ?? 'nothing'}`)
    // A pod that reaches itself through the Service is seen with another address than its own: its node's by kube-proxy, else the Service's.
    const others = answered.filter(a => a.server !== source.metadata.name)
    const itself = others.length < answered.length ? ', and the pod itself' : ''
    return `${expectClients(others, () => ipOf(source, family))}, ${new Set(others.map(a => a.server)).size} different pods${itself}`
  })
}

async function podsAndNodes({ lab, report, family }: Traffic, pods: readonly Pod[], host: Pod): Promise<void> {
  const near = one(pods.filter(p => nodeOf(p) === nodeOf(host)))
  const far = one(pods.filter(p => nodeOf(p) !== nodeOf(host)))
  const door = hostPort(ipOf(host, family), settings.hostPort)
  await report.check(
    `IPv${family}: pod → node: from ${nodeOf(near)} and ${nodeOf(far)} to the pod on ${nodeOf(host)}'s own network`,
    async () => {
      const both = [await fromPod(lab, near, [door]), await fromPod(lab, far, [door])]
      return [expectClients(both[0] ?? [], () => ipOf(near, family)), expectClients(both[1] ?? [], () => ipOf(far, family))].join(', ')
    },
  )
  for (const { name, identity } of lab.state.nodes) {
    const [mine, others] = [pods.filter(p => nodeOf(p) === name), pods.filter(p => nodeOf(p) !== name)]
    await report.check(`IPv${family}: node → pod: ${name} to its own and to other nodes' pods`, async () => {
      const targets = [...mine.slice(0, 3), ...others.slice(0, 3)].map(p => target(p, family))
      return expectClients(await fromNode(lab, name, targets), () => addressOf(identity, family))
    })
  }
}

async function internet({ lab, report, family }: Traffic, pods: readonly Pod[]): Promise<void> {
  const there = settings.internet[family]
  const seen = family === 4 ? `the VPC's address ${settings.snat}` : "the pod's own address"
  await report.check(`IPv${family}: pod → internet ${there} and back, seen there with ${seen}`, async () => {
    const sources = lab.state.nodes.map(n => one(pods.filter(p => nodeOf(p) === n.name)))
    const told = sources.map(async source =>
      expectClients(await fromPod(lab, source, [hostPort(there)]), () => (family === 4 ? settings.snat : ipOf(source, family))),
    )
    return (await Promise.all(told)).join(', ')
  })
}

async function securityGroup({ lab, report, family }: Traffic, pods: readonly Pod[]): Promise<void> {
  const pod = one(pods)
  const control = addressOf(lab.state.control, family)
  await report.check(`IPv${family}: security group: a machine of the VPC → pod port ${settings.appPort} is allowed`, async () =>
    expectClients(await fromControl(lab, [target(pod, family)]), () => control),
  )
  await report.check(
    `IPv${family}: security group: the same machine → pod port ${settings.closedPort} is refused, though the port is open to other pods`,
    async () => {
      const closed = hostPort(ipOf(pod, family), settings.closedPort)
      const neighbour = one(pods.filter(p => p !== pod && nodeOf(p) !== nodeOf(pod)))
      expectClients(await fromPod(lab, neighbour, [closed]), () => ipOf(neighbour, family))
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
    const told = daemons.map(async daemon => {
      const where = ['exec', '-n', daemon.metadata.namespace, daemon.metadata.name, '-c', 'terway', '--']
      const mapping: MappingReply = JSON.parse(await lab.kubectl([...where, 'terway-cli', 'mapping', '--json']))
      return { daemon, mapping }
    })
    for (const { daemon, mapping } of await Promise.all(told)) {
      for (const eni of mapping.info) {
        const held = mapping.resource_db.filter(e => e.eni_id === eni.NetworkInterfaceID)
        rows.push([nodeOf(daemon), eni.NetworkInterfaceID, eni.Status, `${held.length} pods, ${eni.Info.length} addresses`, ''])
        for (const e of held)
          rows.push(['', '', '', [e.ipv4, e.ipv6].filter(ip => ip !== '').join(' '), `${e.pod_namespace}/${e.pod_name}`])
      }
    }
    return `${rows.filter(r => r[4] !== '').length} pods`
  })
  report.say('', ...table(['node', 'ENI', 'status', 'address', 'pod'], rows))
}

function ownerOf(enis: readonly CloudEni[], ip: string): CloudEni | undefined {
  return enis.find(eni => eni.ipv4.includes(ip) || eni.ipv6.includes(ip))
}

function addressOf({ address, address6 = '' }: Identity, family: 4 | 6): string {
  return family === 4 ? address : address6
}

function nodeOf(pod: Pod): string {
  return pod.spec.nodeName ?? ''
}

function target(pod: Pod, family: 4 | 6): string {
  return hostPort(ipOf(pod, family), settings.appPort)
}

function one(pods: readonly Pod[]): Pod {
  const [pod] = pods
  if (pod === undefined) throw new Error('there is no pod to take')
  return pod
}
