// SPDX-License-Identifier: Apache-2.0

/** An ENI as the cloud's own API describes it. */
export interface CloudEni {
  readonly id: string
  readonly mac: string
  readonly type: string
  readonly status: string
  readonly vSwitchId: string
  readonly instanceId: string
  readonly addresses: readonly string[]
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
