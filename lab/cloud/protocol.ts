// SPDX-License-Identifier: Apache-2.0
import type { NewBalancer } from '../../sim/model/balancer.ts'
import type { BalancerListener } from '../../sim/model/rows.ts'
import type { CreatedInstance } from '../../sim/simulator.ts'

/** Requests to the lab's cloud process over its unix socket: `POST <path>` with a JSON body. */
export interface CloudRequests {
  '/instance/create': { readonly request: NewMachine; readonly reply: CreatedInstance & { readonly regionId: string } }
  /** Releases the instance; its devices vanish. */
  '/instance/delete': { readonly request: { readonly instanceId: string }; readonly reply: null }
  /** What ECS says of the instance; its ENIs stay attached. */
  '/instance/power': { readonly request: { readonly instanceId: string; readonly on: boolean }; readonly reply: null }
  /** The instance's machine is this network namespace: its ENIs appear there, eth0 configured. */
  '/machine/place': { readonly request: { readonly instanceId: string; readonly netns: string }; readonly reply: null }
  '/machine/unplace': { readonly request: { readonly instanceId: string }; readonly reply: null }
  /** Waits until the fabric has applied everything so far; answers with the devices by ENI id. */
  '/fabric/links': { readonly request: object; readonly reply: { readonly [eniId: string]: Device } }
  /** Names of all balancers. */
  '/balancer/list': { readonly request: object; readonly reply: readonly { readonly name: string }[] }
  /** Makes the balancer if it is new, in the seed's first vSwitch; the fabric has its listeners when it answers with the addresses. */
  '/balancer/put': { readonly request: WantedBalancer; readonly reply: readonly string[] }
  '/balancer/delete': { readonly request: { readonly name: string }; readonly reply: null }
  /** An OpenAPI operation in process, as an all-powerful caller. */
  '/call': { readonly request: { readonly action: string; readonly params: Readonly<Record<string, string>> }; readonly reply: object }
}

/** An instance in the seed's first security group, with its first role, in the named vSwitch or the seed's first. */
export interface NewMachine {
  readonly name: string
  readonly type: string
  readonly vSwitchId?: string
  readonly ipv6: boolean
}

export type WantedBalancer = Omit<NewBalancer, 'vSwitchId'> & { readonly listeners: readonly BalancerListener[] }

export interface Device {
  readonly netns: string
  readonly dev: string
  readonly mac: string
}
