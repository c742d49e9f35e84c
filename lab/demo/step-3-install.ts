// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { terway } from '../../deploy/image/list.ts'
import { must } from '../../sim/fabric/run.ts'
import { SERVICE_CIDR } from '../control-plane.ts'
import type { Lab } from '../lab.ts'
import { until } from '../process.ts'
import { type Demo, get, isReady, type Pod, podsOf, seed, settings } from './demo.ts'

const chart = join(import.meta.dirname, '..', '..', 'deploy', 'chart', 'terway')

/** Installs the chart with helm, as a user would, and waits until the nodes are Ready. */
export async function installTerway({ lab, report }: Demo): Promise<void> {
  const values = JSON.stringify(chartValues(lab.state.control.address))
  const helm = [join(lab.state.bin, 'helm'), `--kubeconfig=${lab.kubeconfig}`, '--namespace=kube-system']
  report.say(
    `helm install terway deploy/chart/terway: pool of at most ${settings.maxPoolSize} idle addresses, adjusted every ${settings.poolPeriod}`,
  )
  await must([...helm, 'install', 'terway', chart, '--values=-'], values)

  const nodes = lab.state.nodes.length
  const daemons = report.check('the DaemonSet terway-eniip runs on every node, from our image, as the chart says', async () => {
    const pods = await ready(lab, 'app=terway-eniip', nodes)
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
    const pods = await ready(lab, 'app=terway-controlplane', 1)
    fromOurImage(pods)
    return pods.map(p => `${p.metadata.name} on ${p.spec.nodeName}`).join(' ')
  })
  if (!(await daemons) || !(await controlplane))
    throw new Error('Terway does not run as the chart installs it; nothing after this would prove anything')
  await report.check('every node is Ready: the kubelet found the CNI plugin', async () => {
    interface Node {
      readonly status: { readonly conditions: readonly { readonly type: string; readonly status: string }[] }
    }
    const count = await until('all nodes Ready', 60_000, async () => {
      const all = await get<Node[]>(lab, 'nodes')
      return all.filter(n => n.status.conditions.some(c => c.type === 'Ready' && c.status === 'True')).length === nodes && all.length
    })
    return `${count} of ${nodes}`
  })
}

function chartValues(controlAddress: string): object {
  const [key] = seed.keys
  const [repository, tag] = terway.ref.split(':')
  const zones = [...new Set(seed.vSwitches.map(v => v.zone))]
  return {
    apiServer: `${controlAddress}:6443`,
    cloud: { ecsEndpoint: '100.100.0.10:80', vpcEndpoint: '100.100.0.10:80', scheme: 'HTTP' },
    terway: {
      image: { repository, tag, pullPolicy: 'Never' },
      // Pods get their own vSwitch where the zone has one.
      vSwitchIDs: Object.fromEntries(zones.map(zone => [zone, seed.vSwitches.filter(v => v.zone === zone).map(v => v.id)])),
      securityGroupIDs: ['sg-pods'],
      serviceCIDR: SERVICE_CIDR,
      eniConf: { max_pool_size: settings.maxPoolSize, min_pool_size: settings.minPoolSize, ip_pool_sync_period: settings.poolPeriod },
    },
    terwayControlplane: { regionID: seed.region, clusterID: 'demo', vpcID: seed.vpc.id, accessKey: key?.id, accessSecret: key?.secret },
  }
}

async function ready(lab: Lab, selector: string, wanted: number): Promise<readonly Pod[]> {
  let last: readonly Pod[] = []
  try {
    return await until(
      `${wanted} ready pods`,
      60_000,
      async () => {
        last = await podsOf(lab, selector)
        return last.length >= wanted && last.every(isReady) && last
      },
      250,
    )
  } catch (cause) {
    const states = last.map(p => `${p.metadata.name} ${p.status.phase}${isReady(p) ? '' : ', not ready'}`)
    const words = await Promise.all(last.filter(p => !isReady(p)).map(p => lastWords(lab, p)))
    throw new Error([`${wanted} pods are not ready after 60 s: ${states.join('; ') || 'there are none'}`, ...words].join('\n     '), {
      cause,
    })
  }
}

/** The end of the log of a pod that does not become ready, or why it has none. */
async function lastWords(lab: Lab, { metadata }: Pod): Promise<string> {
  const { stdout, stderr } = await lab.kubectlRaw(['logs', '-n', metadata.namespace, metadata.name, '--tail=3'])
  return `${metadata.name}: ${(stdout || stderr).trim().slice(-600)}`
}

function fromOurImage(pods: readonly Pod[]): void {
  for (const { metadata, spec } of pods)
    for (const { image } of spec.containers) if (image !== terway.ref) throw new Error(`${metadata.name} runs ${image}, not ${terway.ref}`)
}
