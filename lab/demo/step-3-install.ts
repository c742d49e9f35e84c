// SPDX-License-Identifier: Apache-2.0
import { terway } from '../../deploy/image/list.ts'
import type { NodeCr } from '../../src/kube/crd/node.ts'
import { get } from '../get.ts'
import type { Pod } from '../pods.ts'
import { until } from '../process.ts'
import { installChart, readyNodes, readyPods } from '../terway.ts'
import { type Demo, settings } from './demo.ts'

/** Installs the chart with helm, as a user would, and waits until the nodes are Ready. */
export async function installTerway({ lab, report, options }: Demo): Promise<void> {
  const { maxPoolSize, minPoolSize, poolPeriod } = settings
  report.say(`helm install terway deploy/chart/terway: pool of at most ${maxPoolSize} idle addresses, adjusted every ${poolPeriod}`)
  await installChart(lab, {
    eniConf: { max_pool_size: maxPoolSize, min_pool_size: minPoolSize, ip_pool_sync_period: poolPeriod },
    datapathV2: options.datapath === 'v2',
  })

  const nodes = lab.state.nodes.length
  const daemons = report.check('the DaemonSet terway-eniip runs on every node, from our image, as the chart says', async () => {
    const pods = await readyPods(lab, 'app=terway-eniip', nodes)
    fromOurImage(pods)
    const owners = await get<{ status: { numberReady: number; desiredNumberScheduled: number } }>(
      lab,
      '-n',
      'kube-system',
      'daemonset',
      'terway-eniip',
    )
    if (owners.status.desiredNumberScheduled !== nodes)
      throw new Error(`${owners.status.desiredNumberScheduled} pods wanted for ${nodes} nodes`)
    return pods.map(p => p.metadata.name).join(' ')
  })
  const controlplane = report.check('the Deployment terway-controlplane runs, from our image', async () => {
    const pods = await readyPods(lab, 'app=terway-controlplane', 1)
    fromOurImage(pods)
    return pods.map(p => `${p.metadata.name} on ${p.spec.nodeName}`).join(' ')
  })
  if (!(await daemons) || !(await controlplane))
    throw new Error('Terway does not run as the chart installs it; nothing after this would prove anything')
  await report.check(`every node forwards by ${options.datapath}, as its record says`, async () => {
    const wanted = options.datapath === 'v2' ? 'datapathv2' : 'veth'
    const recorded = async () => {
      const types = (await get<NodeCr[]>(lab, 'nodes.network.alibabacloud.com')).map(n => n.spec.datapath?.type)
      return types.length === nodes && types.every(type => type === wanted) && types.join(' ')
    }
    return until('the datapath is recorded', 30_000, recorded, 100)
  })
  await report.check('every node is Ready: the kubelet found the CNI plugin', async () => `${await readyNodes(lab)} of ${nodes}`)
}

function fromOurImage(pods: readonly Pod[]): void {
  for (const { metadata, spec } of pods)
    for (const { image } of spec.containers) if (image !== terway.ref) throw new Error(`${metadata.name} runs ${image}, not ${terway.ref}`)
}
