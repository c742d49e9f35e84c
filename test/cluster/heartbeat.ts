// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import type { Lab } from '../../lab/lab.ts'
import { get, ipsOf, type Pod } from '../../lab/pods.ts'
import { until } from '../../lab/process.ts'
import { familyOf } from '../../sim/fabric/address.ts'
import { startPod } from './terway-pods.ts'

const port = '7000'

interface Second {
  readonly beats: number
  /** The longest wait for a beat in this second, ms. */
  readonly worst: number
}

/** A pod on one node that answers beats, and from another node a connection to each of its addresses. */
export async function startHeartbeats(lab: Lab, serverNode: string, clientNode: string): Promise<readonly Heartbeat[]> {
  const command = ['/bin/heartbeat', 'serve', port]
  const server = await startPod(lab, 'beat-server', { node: serverNode, command, restartPolicy: 'Never' })
  return Promise.all(ipsOf(server).map(ip => Heartbeat.start(lab, clientNode, ip)))
}

/** One TCP connection from a pod, with a beat every millisecond, that is never made anew (deploy/image/heartbeat.c). */
export class Heartbeat {
  readonly #lab: Lab
  readonly #client: string

  private constructor(lab: Lab, client: string) {
    this.#lab = lab
    this.#client = client
  }

  static async start(lab: Lab, node: string, server: string): Promise<Heartbeat> {
    const client = `beat-client-${familyOf(server)}`
    await startPod(lab, client, { node, command: ['/bin/heartbeat', 'ask', server, port], restartPolicy: 'Never' })
    const beat = new Heartbeat(lab, client)
    await beat.goesOn()
    return beat
  }

  async #seconds(): Promise<readonly Second[]> {
    const log = await this.#lab.kubectl(['logs', this.#client])
    return [...log.matchAll(/^beats=(\d+) worst=([\d.]+)$/gm)].map(m => ({ beats: Number(m[1]), worst: Number(m[2]) }))
  }

  /** How many seconds it has told of; for `worstSince`. */
  async mark(): Promise<number> {
    return (await this.#seconds()).length
  }

  /** Two more seconds of beats, in the very same processes, within `ms`: after an outage TCP waits before it tries again. */
  async goesOn(ms = 40_000): Promise<void> {
    const before = (await this.#seconds()).at(-1)?.beats ?? 0
    const mark = await this.mark()
    await until(
      `the heartbeat of ${this.#client} goes on`,
      ms,
      async () => {
        const client = await get<Pod>(this.#lab, 'pod', this.#client)
        assert.equal(client.status.phase, 'Running', `the heartbeat ended: ${await this.#lab.kubectl(['logs', '--tail=3', this.#client])}`)
        const seconds = await this.#seconds()
        return seconds.length >= mark + 2 && (seconds.at(-1)?.beats ?? 0) > before
      },
      250,
    )
  }

  /** The longest wait for a beat since the mark, ms. */
  async worstSince(mark: number): Promise<number> {
    return Math.max(0, ...(await this.#seconds()).slice(mark).map(s => s.worst))
  }
}
