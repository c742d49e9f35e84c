// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { inside } from '../../sim/fabric/fabric.ts'
import { must } from '../../sim/fabric/run.ts'
import type { Lab } from '../lab.ts'
import { netnsOf } from '../names.ts'
import { seed } from '../vpc.ts'

/** An ENI as the cloud's own API describes it. */
export interface CloudEni {
  readonly id: string
  readonly mac: string
  readonly type: string
  readonly status: string
  readonly vSwitchId: string
  readonly instanceId: string
  readonly ipv4: readonly string[]
  readonly ipv6: readonly string[]
  readonly tags: Readonly<Record<string, string>>
}

/** Where and as whom the cloud is asked; goes to the asking process on stdin, so that the secret is in no argument list. */
export interface CloudAccess {
  /** host:port, plain HTTP. */
  readonly endpoint: string
  readonly regionId: string
  readonly vpcId: string
  readonly accessKeyId: string
  readonly accessKeySecret: string
}

/** Every ENI of the VPC of vpc.yaml, as the vendor's SDK reads it from inside the VPC. */
export async function askCloud(lab: Lab): Promise<readonly CloudEni[]> {
  const [key] = seed.keys
  const access: CloudAccess = {
    endpoint: '100.100.0.10:80',
    regionId: seed.region,
    vpcId: seed.vpc.id,
    accessKeyId: key?.id ?? '',
    accessKeySecret: key?.secret ?? '',
  }
  const argv = inside(netnsOf(lab.names, 'control'), [process.execPath, join(import.meta.dirname, 'list-enis.ts')])
  return JSON.parse(await must(argv, JSON.stringify(access)))
}
