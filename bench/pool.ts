// SPDX-License-Identifier: Apache-2.0
// How fast addresses come: an empty pool to 50 addresses, and a joining node to its first pod, against what the cloud itself
// takes. Real controlplane, real API server, real terwayd; the simulated cloud with the durations of the real one.
import { type NodeCr, nodeCrs } from '#kube/crd/node.ts'
import { podArgs } from '../test/support/cni-client.ts'
import { until } from '../test/support/until.ts'
import { amount } from './measure/machine.ts'
import { row, writeRows } from './measure/row.ts'
import { BenchCloud, cloudTime, eniConf, podVSwitch, securityGroup } from './node/cloud.ts'
import { BenchCluster } from './node/cluster.ts'
import { isolated } from './node/isolate.ts'
import { assignAddresses, ipBatch, makeNode, nameOwnNetns, plugEni, target } from './node/network.ts'
import { Runner } from './node/runner.ts'
import { shim, Terwayd } from './node/terwayd.ts'

const rounds = amount(7, 1)
const wanted = 50
/** Warm addresses of a node that joins. */
const warm = 5
const seconds = (since: number) => (performance.now() - since) / 1000

function usable(cr: NodeCr | undefined): number {
  const nics = Object.values(cr?.status?.networkInterfaces ?? {}).filter(n => n.status === 'InUse')
  return nics.flatMap(n => Object.values(n.ipv4 ?? {})).filter(ip => ip.status === 'Valid').length
}

/** From the moment the node's wish for 50 addresses is written until the Node CR holds them. */
async function fill(cloud: BenchCloud, { client }: BenchCluster, name: string): Promise<number> {
  await cloud.instance(name).register()
  await until(async () => (await client.get(nodeCrs, name))?.spec.nodeCap !== undefined, `Node CR ${name}`)
  const done = Promise.withResolvers<number>()
  const watch = client.watch(
    nodeCrs,
    { fieldSelector: `metadata.name=${name}` },
    {
      replaced: () => {},
      applied: cr => {
        if (usable(cr) >= wanted) done.resolve(performance.now())
      },
      deleted: () => {},
    },
  )
  await watch.synced
  const start = performance.now()
  const spec = {
    eni: { vSwitchOptions: [podVSwitch.id], securityGroupIDs: [securityGroup], vSwitchSelectPolicy: 'random', enableIPv4: true },
    pool: { minPoolSize: wanted, maxPoolSize: wanted },
  }
  await client.patch(nodeCrs, name, { type: 'merge', body: { spec } })
  const timer = setTimeout(() => done.reject(new Error(`${name} has no ${wanted} addresses after a minute`)), 60_000)
  const end = await done.promise
  clearTimeout(timer)
  watch.stop()
  return (end - start) / 1000
}

/** From the node's registration, at which terwayd starts too, until its first pod has its network and can be used. */
async function join(
  cloud: BenchCloud,
  cluster: BenchCluster,
  runner: Runner,
  o: { dir: string; name: string; netns: string },
): Promise<number> {
  const instance = cloud.instance(o.name)
  const plugged: string[] = []
  const unfollow = cloud.follow(instance.id, enis => {
    for (const { id, mac, ipv4 } of enis) {
      if (!plugged.includes(id)) {
        plugEni('node', plugged.length + 1, { id, mac, cidr: podVSwitch.cidr, gateway: podVSwitch.gateway, addresses: [] })
        plugged.push(id)
      }
      assignAddresses('node', plugged.indexOf(id) + 1, mac, ipv4)
    }
  })
  const start = performance.now()
  const daemon = new Terwayd({ dir: o.dir, nodeName: o.name, kubeconfig: cluster.kubeconfig })
  await instance.register()
  await daemon.ready()
  const uid = await cluster.createPod(o.name, o.name)
  const env = {
    CNI_CONTAINERID: o.name,
    CNI_NETNS: o.netns,
    CNI_IFNAME: 'eth0',
    CNI_ARGS: podArgs('default', o.name, uid),
    CNI_PATH: '/opt/cni/bin',
  }
  const stdin = '{"cniVersion":"1.0.0","name":"terway","type":"terway"}'
  const call = (command: string, ping: object) => runner.one({ program: shim, env: { ...env, CNI_COMMAND: command }, stdin, ...ping })
  await call('ADD', { ping: { netns: o.netns, address: target } })
  const took = seconds(start)
  await call('DEL', {})
  await daemon.settled()
  unfollow()
  await daemon.remove()
  ipBatch(
    'node',
    plugged.map((_, i) => `link del eth${i + 1}`),
  )
  return took
}

await isolated(async dir => {
  nameOwnNetns('node')
  makeNode('node')
  const cluster = await BenchCluster.start(eniConf(warm))
  const cloud = await BenchCloud.start(dir, cluster)
  const runner = new Runner()
  const netns = '/run/netns/pod'
  await runner.makeNetns(netns)
  const fills: number[] = []
  const joins: number[] = []
  for (let i = 1; i <= rounds; i++) {
    fills.push(await fill(cloud, cluster, `fill-${i}`))
    joins.push(await join(cloud, cluster, runner, { dir, name: `join-${i}`, netns }))
    console.log(`pool: round ${i} of ${rounds}`)
  }
  writeRows('pool', [
    row(
      'pool.fill50.vs_limit',
      fills.map(t => t / cloudTime),
      'pool.fill50.limit.s',
    ),
    row('pool.fill50.s', fills),
    row('pool.fill50.limit.s', [cloudTime]),
    row(
      'node.join.first_pod.s',
      joins.map(t => t - cloudTime),
      'pool.fill50.limit.s',
    ),
  ])
})
