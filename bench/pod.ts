// SPDX-License-Identifier: Apache-2.0
// What a user waits for: from the creation of a pod until it is Running and its container answers. One lab with real kubelets, Terway on
// one node and ptp with host-local on the other, pod by pod in turn.
import { once } from 'node:events'
import { Type } from 'typebox'
import { KubeClient } from '#kube/client.ts'
import { readKubeconfig } from '#kube/kubeconfig.ts'
import type { KubeObject, Resource } from '#kube/port.ts'
import { type Pod, pods } from '#kube/reflect/pod.ts'
import { resource } from '#kube/resource.ts'
import { realClock } from '#lib/clock.ts'
import { images } from '../deploy/image/build.ts'
import { allImages, labApp } from '../deploy/image/list.ts'
import { Lab, type LabNode } from '../lab/lab.ts'
import { installChart, readyNodes, readyPods } from '../lab/terway.ts'
import { seed } from '../lab/vpc.ts'
import { until } from '../test/support/until.ts'
import { amount } from './measure/machine.ts'
import { ratios, row, writeRows } from './measure/row.ts'
import { LineProcess } from './node/runner.ts'

const count = amount(60, 3)
/** Pods of each side before the first measured one. */
const warmUp = amount(5, 1)
const labName = `bench-${process.pid}`
const podCidr = '10.99.0.0/24'

const wholePods: Resource<KubeObject & { readonly spec: unknown }> = resource({
  group: '',
  version: 'v1',
  plural: 'pods',
  kind: 'Pod',
  namespaced: true,
  unknown: 'keep',
  body: Type.Object({}),
})

/** ptp as the node's only plugin, from the Debian package; Terway leaves the node alone by its label. */
async function installPtp(lab: Lab, node: LabNode): Promise<void> {
  await lab.kubectl(['label', 'node', node.name, 'k8s.aliyun.com/ignore-by-terway=true'])
  const ipam = { type: 'host-local', subnet: podCidr, dataDir: '/var/lib/cni/host-local', routes: [{ dst: '0.0.0.0/0' }] }
  const plugin = { type: 'ptp', ipMasq: false, mtu: 1500, ipam }
  const list = JSON.stringify({ cniVersion: '1.0.0', name: 'bench', plugins: [plugin] })
  const script =
    'mkdir -p /opt/cni/bin /etc/cni/net.d; cp /usr/lib/cni/ptp /usr/lib/cni/host-local /opt/cni/bin; cat > /etc/cni/net.d/10-bench.conflist'
  const { code, stderr } = await node.exec(['sh', '-c', script], list)
  if (code !== 0) throw new Error(`ptp on ${node.name}: ${stderr}`)
}

/** The pods of one node: creates one at a time, and hears of it by a watch. */
class Pods {
  readonly #client: KubeClient
  readonly #node: LabNode
  readonly #probe: LineProcess
  #made = 0

  constructor(client: KubeClient, node: LabNode) {
    this.#client = client
    this.#node = node
    this.#probe = new LineProcess(['nsenter', `--net=/run/netns/${node.netns}`, process.execPath, `${import.meta.dirname}/node/connect.ts`])
  }

  /** Milliseconds from the creation of a pod until it is Running and its port answers to its node. It is deleted afterwards. */
  async one(): Promise<number> {
    const name = `${this.#node.name}-${++this.#made}`
    const running = Promise.withResolvers<string>()
    const seen = (pod: Pod) => {
      if (pod.status?.phase === 'Running' && pod.status.podIP !== undefined) running.resolve(pod.status.podIP)
    }
    const watch = this.#client.watch(
      pods,
      { namespace: 'default', fieldSelector: `metadata.name=${name}` },
      { replaced: list => list.forEach(seen), applied: seen, deleted: () => running.reject(new Error(`${name} was deleted`)) },
    )
    await watch.synced
    const timer = setTimeout(() => running.reject(new Error(`${name} does not run after a minute`)), 60_000)
    const start = performance.now()
    await this.#client.create(wholePods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'default' },
      spec: {
        nodeName: this.#node.name,
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'app', image: labApp.ref, imagePullPolicy: 'Never' }],
      },
    })
    this.#probe.say(`${await running.promise}\n`)
    await this.#probe.hear(1)
    const took = performance.now() - start
    clearTimeout(timer)
    watch.stop()
    await this.#client.delete(pods, name, 'default')
    await until(async () => (await this.#client.get(pods, name, 'default')) === undefined, `${name} is gone`)
    return took
  }

  close(): void {
    this.#probe.close()
  }
}

async function measure(lab: Lab): Promise<void> {
  const [terwayNode, ptpNode] = lab.nodes()
  if (terwayNode === undefined || ptpNode === undefined) throw new Error('the lab has no two nodes')
  await installPtp(lab, ptpNode)
  await installChart(lab, { eniConf: { min_pool_size: 5, max_pool_size: 10 } })
  await readyPods(lab, 'app=terway-eniip', 1)
  await readyPods(lab, 'app=terway-controlplane', 1)
  await readyNodes(lab)
  const config = await readKubeconfig(lab.kubeconfig)
  const client = new KubeClient({ config, clock: realClock, reporter: { controller: 'bench', instance: 'bench' } })
  const sides = { terway: new Pods(client, terwayNode), ptp: new Pods(client, ptpNode) }
  const found = { terway: [] as number[], ptp: [] as number[] }
  try {
    for (let i = -warmUp; i < count; i++) {
      for (const side of i % 2 === 0 ? (['terway', 'ptp'] as const) : (['ptp', 'terway'] as const)) {
        const ms = await sides[side].one()
        if (i >= 0) found[side].push(ms)
      }
      if ((i + 1) % 10 === 0) console.log(`pod: ${i + 1} of ${count}`)
    }
  } finally {
    for (const side of Object.values(sides)) side.close()
    await client.close()
  }
  writeRows('pod', [
    row('pod.ready.vs_ptp', ratios(found.terway, found.ptp), 'pod.ptp.ready.ms'),
    row('pod.ready.ms', found.terway),
    row('pod.ptp.ready.ms', found.ptp),
  ])
}

const stopped = Promise.race((['SIGINT', 'SIGTERM'] as const).map(signal => once(process, signal)))
try {
  const work = images(allImages)
    .then(built => Lab.up({ name: labName, nodes: 2, images: built, vSwitchIds: ['vsw-a1'], seed }))
    .then(measure)
  await Promise.race([work, stopped.then(() => Promise.reject(new Error('stopped')))])
} finally {
  await Lab.down(labName)
}
process.exit(0)
