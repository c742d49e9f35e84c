// SPDX-License-Identifier: Apache-2.0
import type { State } from '../model/state.ts'
import type { Params } from './params.ts'
import type { Seen } from './seen.ts'

export const ecs = '2014-05-26'
export const vpc = '2016-04-28'

export interface Context {
  readonly state: State
  /** What Describe calls see: the state of a moment ago. */
  readonly seen: Seen
}

/** One operation of the OpenAPI: parameters in, reply body (without RequestId) out, CloudFault when refused. */
export interface Action {
  readonly name: string
  /** API versions that have it. */
  readonly versions: readonly string[]
  /** Takes ClientToken: the same token with the same parameters gets the first reply again. */
  readonly idempotent?: boolean
  /** RegionId is mandatory. */
  readonly regional: boolean
  readonly run: (context: Context, params: Params) => object
}
