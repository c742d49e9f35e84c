// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { terway } from '../deploy/image/list.ts'
import { must } from '../sim/fabric/run.ts'
import { get } from './get.ts'
import type { Lab } from './lab.ts'
import { isReady, type Pod, podsOf } from './pods.ts'
import { until } from './process.ts'
import { serviceRange } from './service-range.ts'
import type { LabState } from './state.ts'
import { seed } from './vpc.ts'

const chart = join(import.meta.dirname, '..', 'deploy', 'chart', 'terway')

/** What differs from lab to lab; the rest of the chart's values follows from vpc.yaml and the lab. */
export interface TerwayValues {
  /** Keys of eni_conf, such as max_pool_size. */
  readonly eniConf: Readonly<Record<string, unknown>>
  /** Keys of the CNI configuration. */
  readonly cniConf?: Readonly<Record<string, unknown>>
  /** Nodes forward by DataPath V2, but for those whose label says something else. */
  readonly datapathV2?: boolean
  /** Replicas of terway-controlplane, 1 when absent. */
  readonly replicas?: number
}

/** helm as a user of the lab runs it, in kube-system; throws with its message. */
export async function helm(lab: Lab, args: readonly string[], values: object = {}): Promise<void> {
  const command = [join(lab.state.bin, 'helm'), `--kubeconfig=${lab.kubeconfig}`, '--namespace=kube-system', ...args]
  await must(command, JSON.stringify(values))
}

/** `helm install` of the chart in this checkout; returns at once. The lab must stand on the VPC of vpc.yaml; without kube-proxy Terway translates Services. */
export function installChart(lab: Lab, values: TerwayValues): Promise<void> {
  return helm(lab, ['install', 'terway', chart, '--values=-'], chartValues(lab.state, values))
}

/** `helm upgrade` to other values. */
export function upgradeChart(lab: Lab, values: TerwayValues): Promise<void> {
  return helm(lab, ['upgrade', 'terway', chart, '--values=-'], chartValues(lab.state, values))
}

/** Installs the chart and waits until its pods and all nodes are Ready. */
export async function installTerway(lab: Lab, values: TerwayValues): Promise<void> {
  await installChart(lab, values)
  await Promise.all([
    readyPods(lab, 'app=terway-eniip', lab.state.nodes.length),
    readyPods(lab, 'app=terway-controlplane', values.replicas ?? 1),
  ])
  await readyNodes(lab)
}

/** Waits until there are at least `wanted` pods with the labels and all are ready; throws with the last words of those that are not. */
export async function readyPods(lab: Lab, selector: string, wanted: number, ms = 120_000): Promise<readonly Pod[]> {
  let last: readonly Pod[] = []
  try {
    return await until(
      `${wanted} ready pods`,
      ms,
      async () => {
        last = await podsOf(lab, selector)
        return last.length >= wanted && last.every(isReady) && last
      },
      250,
    )
  } catch (cause) {
    const states = last.map(p => `${p.metadata.name} ${p.status.phase}${isReady(p) ? '' : ', not ready'}`)
    const words = await Promise.all(last.filter(p => !isReady(p)).map(p => lastWords(lab, p)))
    const text = `${wanted} pods are not ready after ${ms / 1000} s: ${states.join('; ') || 'there are none'}`
    throw new Error([text, ...words].join('\n     '), { cause })
  }
}

/** Runs a program in the daemon's container of a node. */
export async function inDaemon(lab: Lab, node: string, ...argv: readonly string[]): Promise<string> {
  const daemon = (await podsOf(lab, 'app=terway-eniip')).find(p => p.spec.nodeName === node)
  if (daemon === undefined) throw new Error(`there is no daemon on ${node}`)
  return lab.kubectl(['exec', '-n', 'kube-system', daemon.metadata.name, '-c', 'terway', '--', ...argv])
}

/** Waits until every node of the lab is Ready, which it is when its kubelet has found the CNI plugin; returns how many. */
export async function readyNodes(lab: Lab): Promise<number> {
  interface Node {
    readonly status: { readonly conditions: readonly { readonly type: string; readonly status: string }[] }
  }
  const wanted = lab.state.nodes.length
  const all = async () => {
    const ready = (await get<Node[]>(lab, 'nodes')).filter(n => n.status.conditions.some(c => c.type === 'Ready' && c.status === 'True'))
    return ready.length === wanted && wanted
  }
  return until('all nodes Ready', 120_000, all, 100)
}

function chartValues({ control, stack, proxy }: LabState, { eniConf, cniConf, datapathV2 = false, replicas }: TerwayValues): object {
  const [key] = seed.keys
  const [repository, tag] = terway.ref.split(':')
  // The chart's own default is ipv4.
  const ipStack = stack === 'ipv4' ? {} : { ipStack: stack }
  const zones = [...new Set(seed.vSwitches.map(v => v.zone))]
  return {
    apiServer: `${control.address}:6443`,
    cloud: { ecsEndpoint: '100.100.0.10:80', vpcEndpoint: '100.100.0.10:80', scheme: 'HTTP' },
    terway: {
      image: { repository, tag, pullPolicy: 'Never' },
      // Pods get their own vSwitch where the zone has one.
      vSwitchIDs: Object.fromEntries(zones.map(zone => [zone, seed.vSwitches.filter(v => v.zone === zone).map(v => v.id)])),
      securityGroupIDs: ['sg-pods'],
      serviceCIDR: serviceRange(stack).cidrs.join(','),
      ...ipStack,
      ...(datapathV2 && { enableDatapathV2: true }),
      ...(proxy === 'off' && { kubeProxyReplacement: true }),
      eniConf,
      ...(cniConf !== undefined && { cniConf }),
    },
    terwayControlplane: {
      regionID: seed.region,
      clusterID: 'lab',
      vpcID: seed.vpc.id,
      accessKey: key?.id,
      accessSecret: key?.secret,
      ...ipStack,
      ...(replicas !== undefined && { replicaCount: replicas }),
    },
  }
}

/** The end of the log of a pod that does not become ready, or why it has none. */
async function lastWords(lab: Lab, { metadata }: Pod): Promise<string> {
  const { stdout, stderr } = await lab.kubectlRaw(['logs', '-n', metadata.namespace, metadata.name, '--tail=3'])
  return `${metadata.name}: ${(stdout || stderr).trim().slice(-600)}`
}
