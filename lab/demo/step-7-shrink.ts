// SPDX-License-Identifier: Apache-2.0

import type { NicIp, NodeCr } from '../../src/kube/crd/node.ts'
import { podsServed } from '../../src/net/stack.ts'
import { askCloud, type CloudEni } from '../cloud/enis.ts'
import { get } from '../get.ts'
import { podsOf } from '../pods.ts'
import { until } from '../process.ts'
import { type Demo, settings } from './demo.ts'
import { seconds } from './report.ts'

interface NodePool {
  readonly node: string
  readonly enis: number
  /** In dual stack a pod takes one of each family, and a pair counts as one. */
  readonly addresses: number
  readonly bound: number
}

/** Scales the application to nothing and watches the addresses go back to the cloud. */
export async function shrink({ lab, options, report }: Demo): Promise<void> {
  const before = await secondary()
  const begun = performance.now()
  const since = () => seconds(performance.now() - begun)
  const what = options.stack === 'dual' ? 'pairs of addresses' : 'addresses'
  await lab.kubectl(['scale', 'deployment', 'web', '--replicas=0'])
  await report.check('the pods are gone', async () => {
    await until('no pod of web', 60_000, async () => (await podsOf(lab, 'app=web')).length === 0, 250)
    return since()
  })
  report.say(
    `the pool keeps at most ${settings.maxPoolSize} and at least ${settings.minPoolSize} idle ${what} per node; what is more goes back to the cloud once the node has agreed`,
  )
  let shown = ''
  await report.check(
    `the cloud has at most ${settings.maxPoolSize} idle ${what} left per node, and at least ${settings.minPoolSize}`,
    async () => {
      const pools = await until(
        'pools have shrunk',
        120_000,
        async () => {
          const now = await poolsNow()
          const text = now.map(p => `${p.node}: ${p.enis} ENIs, ${p.addresses} ${what}, ${p.bound} bound`).join(' · ')
          if (text !== shown) report.say(`${since().padStart(7)}  ${text}`)
          shown = text
          return now.every(p => p.bound === 0 && p.addresses <= settings.maxPoolSize) && now
        },
        500,
      )
      const low = pools.filter(p => p.addresses < settings.minPoolSize)
      if (low.length > 0) throw new Error(low.map(p => `${p.node} has ${p.addresses}`).join(', '))
      return since()
    },
  )
  const perNode = Map.groupBy(before, eni => eni.instanceId)
  if ([...perNode.values()].every(enis => enis.length < 2)) {
    return report.say(`one ENI per node was enough for ${options.pods} pods, so none is left over`)
  }
  await report.check('ENIs that are not needed are detached and deleted in the cloud', async () => {
    const wanted = before.filter(eni => served(eni.ipv4.length, eni.ipv6.length) > settings.maxPoolSize)
    const fewer = async () => {
      const now = await secondary()
      return now.length < before.length && now.every(eni => eni.status === 'InUse') && now
    }
    const left = await until('a whole ENI went', 30_000, fewer, 250)
    return `${before.length} before (${wanted.length} with more than ${settings.maxPoolSize} ${what}), ${left.length} after`
  })

  function served(ipv4: number, ipv6: number): number {
    return podsServed(options.stack, ipv4, ipv6)
  }

  async function secondary(): Promise<CloudEni[]> {
    return (await askCloud(lab)).filter(eni => eni.type === 'Secondary')
  }

  /** Addresses by the cloud, bindings by the Node resources. */
  async function poolsNow(): Promise<NodePool[]> {
    const [enis, nodes] = await Promise.all([secondary(), get<NodeCr[]>(lab, 'nodes.network.alibabacloud.com')])
    return lab.state.nodes.map(({ name, identity }) => {
      const mine = enis.filter(eni => eni.instanceId === identity.instanceId)
      const nics = Object.values(nodes.find(n => n.metadata.name === name)?.status?.networkInterfaces ?? {})
      const of = (family: 'ipv4' | 'ipv6') => nics.flatMap(nic => Object.values(nic[family] ?? {})).filter(isBound).length
      const addresses = served(mine.flatMap(eni => eni.ipv4).length, mine.flatMap(eni => eni.ipv6).length)
      return { node: name, enis: mine.length, addresses, bound: Math.max(of('ipv4'), of('ipv6')) }
    })
  }
}

function isBound(ip: NicIp): boolean {
  return ip.podID !== undefined && ip.podID !== ''
}
