// SPDX-License-Identifier: Apache-2.0
import openApiUtil from '@alicloud/openapi-util'
import { makeEcs } from '#cloud/ecs.ts'
import { CloudError } from '#cloud/errors.ts'
import type { Cloud } from '#cloud/port.ts'
import type { Rpc } from '#cloud/transport.ts'
import { makeVpc } from '#cloud/vpc.ts'
import { ReplyLost } from '#sim/call.ts'
import { CloudFault } from '#sim/model/errors.ts'
import { parseSeed } from '#sim/seed.ts'
import { Simulator } from '#sim/simulator.ts'
import type { VirtualClock } from '#sim/virtual-clock.ts'
import type { World } from './clock.ts'
import { uneven } from './variant.ts'

/** How rough the way to the cloud is: probabilities per call. */
export interface Weather {
  readonly throttled: number
  /** Refused with InternalError before / after it took effect. */
  readonly failedBefore: number
  readonly failedAfter: number
  readonly replyLost: number
  /** No answer, and the call takes effect up to `lateBy` milliseconds later. */
  readonly late: number
  readonly lateBy: number
  /** Until shortly before a late call that takes addresses all vSwitches are full, so that the same call made again is refused. */
  readonly scarce: number
  /** Milliseconds that a call takes at most. */
  readonly slow: number
}

export const calm: Weather = { throttled: 0, failedBefore: 0, failedAfter: 0, replyLost: 0, late: 0, lateBy: 0, scarce: 0, slow: 200 }
export const rough: Weather = {
  throttled: 0.03,
  failedBefore: 0.03,
  failedAfter: 0.02,
  replyLost: 0.03,
  late: 0.02,
  lateBy: 30_000,
  scarce: 0,
  slow: 3_000,
}

const takesAddresses: ReadonlySet<string> = new Set(['CreateNetworkInterface', 'AssignPrivateIpAddresses', 'AssignIpv6Addresses'])

/** The simulated cloud of the sim/ folder in virtual time, behind the real client: only HTTP and signatures are left out. */
export class SimCloud {
  readonly simulator: Simulator
  readonly cloud: Cloud
  weather: Weather = calm
  /** ENIs that somebody else has detached or deleted. */
  readonly taken = new Set<string>()
  /** ENIs to which somebody else has assigned addresses. */
  readonly extended = new Set<string>()
  /** ENIs of machines that have gone: another machine of the same name sees their record until the controller has given them back. */
  readonly retired = new Set<string>()
  calls = 0
  readonly #world: World

  constructor(world: World, describeLag = world.int(world.chance(0.5) ? 15_000 : 1_000)) {
    this.#world = world
    const clock = {
      wall: () => world.wall(),
      after: (ms: number, fn: () => void) => world.after(ms, fn),
    } satisfies Pick<VirtualClock, 'wall' | 'after'>
    this.simulator = new Simulator({ seed: seedOf(describeLag), clock }).start()
    const rpc: Rpc = (action, parameters) => this.#call(action, openApiUtil.default.query({ ...parameters }))
    this.cloud = { ...makeEcs(rpc), ...makeVpc(rpc) }
  }

  async #call(action: string, params: Record<string, string>): Promise<unknown> {
    const { throttled, failedBefore, failedAfter, replyLost, late, lateBy, scarce, slow } = this.weather
    const world = this.#world
    this.calls++
    await world.sleep(1 + world.int(slow))
    const draw = world.random()
    const limits = [throttled, failedBefore, failedAfter, replyLost, late].map((_, i, all) =>
      all.slice(0, i + 1).reduce((a, b) => a + b, 0),
    )
    const struck = limits.findIndex((limit, i) => draw < limit && (i < 4 || !action.startsWith('Describe')))
    if (struck === 0) throw new CloudError(action, 'Throttling.User', 'injected', { httpStatus: 400 })
    if (struck === 1) throw new CloudError(action, 'InternalError', 'injected', { httpStatus: 500 })
    if (struck === 4) {
      const by = world.int(lateBy)
      if (takesAddresses.has(action) && world.chance(scarce)) this.#exhaust(by - 1)
      world.after(by, () => {
        this.#perform(action, params).catch(() => undefined)
      })
      await world.sleep(20_000)
      throw new CloudError(action, 'Timeout', 'injected')
    }
    const reply = await this.#perform(action, params)
    await world.sleep(world.int(slow))
    if (struck === 2) throw new CloudError(action, 'InternalError', 'injected', { httpStatus: 500 })
    if (struck === 3) throw new CloudError(action, 'NetworkError', 'injected')
    return reply
  }

  #exhaust(ms: number): void {
    for (const id of vSwitches) {
      this.simulator.exhaustVSwitch(id)
      this.#world.after(ms, () => this.simulator.exhaustVSwitch(id, false))
    }
  }

  async #perform(action: string, params: Record<string, string>): Promise<unknown> {
    try {
      return await this.simulator.call(action, params)
    } catch (e) {
      if (e instanceof CloudFault) throw new CloudError(action, e.code, e.message, { httpStatus: e.status })
      if (e instanceof ReplyLost) throw new CloudError(action, 'NetworkError', e.message)
      throw e
    }
  }
}

export const region = 'cn-lab'
export const zone = 'cn-lab-a'
export const vpcId = 'vpc-1'
export const vSwitches = ['vsw-a', 'vsw-b'] as const

/** Blocks of one size in both families: whichever pods have, they run out. */
function seedOf(describeLag: number) {
  return parseSeed({
    region,
    zones: [zone],
    keys: [{ id: 'key', secret: 'secret' }],
    vpc: { id: vpcId, cidr4: '10.0.0.0/16', cidr6: 'fd00::/56' },
    vSwitches: [
      { id: vSwitches[0], zone, cidr4: '10.0.0.0/26', cidr6: 'fd00::/122' },
      { id: vSwitches[1], zone, cidr4: '10.0.1.0/26', cidr6: 'fd00:0:0:1::/122' },
      { id: 'vsw-nodes', zone, cidr4: '10.0.2.0/24' },
    ],
    securityGroups: [{ id: 'sg-1' }],
    instances: [],
    instanceTypes: [uneven],
    timing: {
      creating: 300,
      attaching: 2000,
      detaching: 2000,
      deleting: 500,
      describeLag,
      metadataLag: 500,
    },
    throttle: { enabled: false },
  })
}
