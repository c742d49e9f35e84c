// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { inside } from '../../sim/fabric/fabric.ts'
import { must } from '../../sim/fabric/run.ts'
import type { Lab } from '../lab.ts'
import { netnsOf } from '../names.ts'
import type { CloudAccess, CloudEni } from './cloud.ts'
import type { Report } from './report.ts'

export interface Options {
  readonly name: string
  readonly nodes: number
  readonly pods: number
  /** Leave the cluster running, whatever happened. */
  readonly keep: boolean
}

/** The demo's own numbers, stated to the user where they matter. */
export const settings = {
  /** 4 ENIs with 10 addresses each. */
  instanceType: 'ecs.lab.medium',
  maxPoolSize: 5,
  minPoolSize: 2,
  poolPeriod: '5s',
  appPort: 8080,
  /** Served by the application too, but no rule of the pods' security group lets the VPC in. */
  closedPort: 9090,
  hostPort: 18080,
  internet: '203.0.113.254',
  snat: '203.0.113.1',
} as const

/** The seed as a value, and what the demo needs of it. */
export const seed: {
  readonly region: string
  readonly keys: readonly { readonly id: string; readonly secret: string }[]
  readonly vpc: { readonly id: string }
  readonly vSwitches: readonly { readonly id: string; readonly zone: string }[]
  readonly timing: Readonly<Record<string, number>>
} = parse(readFileSync(join(import.meta.dirname, 'seed.yaml'), 'utf8'))

/** What the steps share: one demo in progress. */
export interface Demo {
  readonly options: Options
  readonly report: Report
  lab: Lab
}

/** A container as the status of a pod has it. */
export interface Pod {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly deletionTimestamp?: string }
  readonly spec: { readonly nodeName?: string; readonly hostNetwork?: boolean; readonly containers: readonly { readonly image: string }[] }
  readonly status: {
    readonly phase: string
    readonly podIP?: string
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
    readonly containerStatuses?: readonly { readonly name: string; readonly restartCount: number; readonly imageID: string }[]
  }
}

/** `kubectl get … -o json`, the items of a list or the object itself. */
export async function get<T>(lab: Lab, ...args: readonly string[]): Promise<T> {
  const answer = JSON.parse(await lab.kubectl(['get', ...args, '-o', 'json']))
  return answer.kind === 'List' || 'items' in answer ? answer.items : answer
}

export async function podsOf(lab: Lab, selector: string): Promise<readonly Pod[]> {
  return get<Pod[]>(lab, 'pods', '--all-namespaces', '-l', selector)
}

export function isReady(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp === undefined && (pod.status.conditions ?? []).some(c => c.type === 'Ready' && c.status === 'True')
}

/** Every ENI of the VPC, as the vendor's SDK reads it from inside the VPC. */
export async function askCloud(lab: Lab): Promise<readonly CloudEni[]> {
  const [key] = seed.keys
  const access: CloudAccess = {
    endpoint: '100.100.0.10:80',
    regionId: seed.region,
    vpcId: seed.vpc.id,
    accessKeyId: key?.id ?? '',
    accessKeySecret: key?.secret ?? '',
  }
  const argv = inside(netnsOf(lab.names, 'control'), [process.execPath, join(import.meta.dirname, 'ask-cloud.ts')])
  return JSON.parse(await must(argv, JSON.stringify(access)))
}
