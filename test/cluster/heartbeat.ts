// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import type { Lab } from '../../lab/lab.ts'
import { get, ipOf, type Pod } from '../../lab/pods.ts'
import { until } from '../../lab/process.ts'
import { startPod } from './terway-pods.ts'

const port = '7000'

interface Second {
  readonly beats: number
  /** The longest wait for a beat in this second, ms. */
  readonly worst: number
}

/** One TCP connection between pods of two nodes, with a beat every millisecond, that is never made anew (deploy/image/heartbeat.c). */
export class Heartbeat {
  readonly #lab: Lab
  readonly server: Pod
  readonly client: Pod

  private constructor(lab: Lab, server: Pod, client: Pod) {
    this.#lab = lab
    this.server = server
    this.client = client
  }

  static async start(lab: Lab, serverNode: string, clientNode: string, family: 4 | 6 = 4): Promise<Heartbeat> {
    const name = family === 4 ? 'beat' : 'beat6'
    const server = await startPod(lab, `${name}-server`, {
      node: serverNode,
      command: ['/bin/heartbeat', 'serve', port],
      restartPolicy: 'Never',
    })
    const command = ['/bin/heartbeat', 'ask', ipOf(server, family), port]
    const client = await startPod(lab, `${name}-client`, { node: clientNode, command, restartPolicy: 'Never' })
    const beat = new Heartbeat(lab, server, client)
    await beat.goesOn()
    return beat
  }

  async #seconds(): Promise<readonly Second[]> {
    const log = await this.#lab.kubectl(['logs', this.client.metadata.name])
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
      'the heartbeat goes on',
      ms,
      async () => {
        const { name } = this.client.metadata
        const client = await get<Pod>(this.#lab, 'pod', name)
        assert.equal(client.status.phase, 'Running', `the heartbeat ended: ${await this.#lab.kubectl(['logs', '--tail=3', name])}`)
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
