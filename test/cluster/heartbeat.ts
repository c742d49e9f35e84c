// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { beatGoesOn, beatSeconds } from '../../lab/beat.ts'
import type { Lab } from '../../lab/lab.ts'
import { ipsOf, type Pod } from '../../lab/pods.ts'
import { until } from '../../lab/process.ts'
import { familyOf } from '../../sim/fabric/address.ts'
import { type PodWish, startPod } from './terway-pods.ts'

export const beatPort = 7000

export type Protocol = 'tcp' | 'udp'

/** A pod that answers beats (deploy/image/heartbeat.c). */
export function beatServer(lab: Lab, node: string, name = 'beat-server', limits?: PodWish['limits']): Promise<Pod> {
  const command = ['/bin/heartbeat', 'serve', String(beatPort)]
  return startPod(lab, name, { node, command, restartPolicy: 'Never', ...(limits !== undefined && { limits }) })
}

/** A pod on one node that answers beats, and from another node a connection to each of its addresses. */
export async function startHeartbeats(lab: Lab, serverNode: string, clientNode: string): Promise<readonly Heartbeat[]> {
  const server = await beatServer(lab, serverNode)
  return Promise.all(ipsOf(server).map(ip => Heartbeat.start(lab, { node: clientNode, server: ip })))
}

/** Who sends beats, and to whom. `name` tells several apart that go to addresses of one family. */
export interface BeatWish {
  readonly node: string
  readonly server: string
  readonly name?: string
  readonly protocol?: Protocol
  /** `beatPort` when absent. */
  readonly port?: number
  /** From the node's own network. */
  readonly hostNetwork?: boolean
  readonly limits?: PodWish['limits']
}

/** One TCP connection or UDP flow from a pod, with a beat every millisecond, that is never made anew. */
export class Heartbeat {
  readonly #lab: Lab
  readonly client: string

  private constructor(lab: Lab, client: string) {
    this.#lab = lab
    this.client = client
  }

  static async start(lab: Lab, wish: BeatWish): Promise<Heartbeat> {
    const { node, server, name = 'beat-client', protocol = 'tcp', port = beatPort, hostNetwork = false, limits } = wish
    const client = `${name}-${familyOf(server)}${protocol === 'tcp' ? '' : '-udp'}`
    const verb = protocol === 'tcp' ? 'ask' : 'ask-udp'
    const command = ['/bin/heartbeat', verb, server, String(port)]
    await startPod(lab, client, { node, command, hostNetwork, restartPolicy: 'Never', ...(limits !== undefined && { limits }) })
    const beat = new Heartbeat(lab, client)
    await beat.goesOn()
    return beat
  }

  /** How many seconds it has told of; for `worstSince`. */
  async mark(): Promise<number> {
    return (await beatSeconds(this.#lab, this.client)).length
  }

  async goesOn(): Promise<void> {
    await beatGoesOn(this.#lab, this.client)
  }

  /** The longest wait for a beat since the mark, ms. */
  async worstSince(mark: number): Promise<number> {
    return Math.max(0, ...(await beatSeconds(this.#lab, this.client)).slice(mark).map(s => s.worst))
  }

  /** Datagrams that were lost since the mark, also after some seconds: an answer may be late. None of a connection, which repeats what is lost. */
  async lostSince(mark: number): Promise<number> {
    let lost = 0
    await until(
      'all answers',
      10_000,
      async () => {
        const seconds = await beatSeconds(this.#lab, this.client)
        lost = (seconds.at(-1)?.lost ?? 0) - (seconds[mark - 1]?.lost ?? 0)
        return lost <= 0
      },
      500,
    ).catch(() => undefined)
    return lost
  }
}

/** Does the work under living flows: all go on, and no datagram is lost. Tells how long each waited. */
export async function noneBreaks(t: TestContext, flows: readonly Heartbeat[], step: string, work: () => Promise<unknown>): Promise<void> {
  const marks = await Promise.all(flows.map(flow => flow.mark()))
  await work()
  await Promise.all(flows.map(flow => flow.goesOn()))
  const seen = await Promise.all(
    flows.map(async (f, i) => ({ f, worst: await f.worstSince(marks[i] ?? 0), lost: await f.lostSince(marks[i] ?? 0) })),
  )
  t.diagnostic(`${step.padEnd(24)} longest wait, ms: ${seen.map(({ f, worst }) => `${f.client} ${worst}`).join(', ')}`)
  assert.deepEqual(
    seen.filter(({ lost }) => lost > 0).map(({ f, lost }) => `${step}: ${f.client} lost ${lost}`),
    [],
  )
}
