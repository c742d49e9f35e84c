// SPDX-License-Identifier: Apache-2.0

import { get } from './get.ts'
import type { Lab } from './lab.ts'
import type { Pod } from './pods.ts'
import { until } from './process.ts'

export interface BeatSecond {
  readonly beats: number
  /** The longest wait for a beat in this second, ms. */
  readonly worst: number
  /** Datagrams without an answer, since the start. */
  readonly lost: number
}

/** What a pod that sends beats (deploy/image/heartbeat.c) has told, a line each second. */
export async function beatSeconds(lab: Lab, client: string): Promise<readonly BeatSecond[]> {
  const { text } = await lab.api.send('GET', `/api/v1/namespaces/default/pods/${client}/log`)
  const told = text.matchAll(/^beats=(\d+) worst=([\d.]+)(?: lost=(\d+))?$/gm)
  return [...told].map(m => ({ beats: Number(m[1]), worst: Number(m[2]), lost: Number(m[3] ?? 0) }))
}

/** Two more seconds of beats, in the very same processes, within `ms`: after an outage TCP waits before it tries again. */
export async function beatGoesOn(lab: Lab, client: string, ms = 120_000): Promise<readonly BeatSecond[]> {
  const before = await beatSeconds(lab, client)
  return until(
    `the heartbeat of ${client} goes on`,
    ms,
    async () => {
      const { status } = await get<Pod>(lab, 'pod', client)
      if (status.phase !== 'Running') throw new Error(`the heartbeat ended: ${await lab.kubectl(['logs', '--tail=3', client])}`)
      const seconds = await beatSeconds(lab, client)
      return seconds.length >= before.length + 2 && (seconds.at(-1)?.beats ?? 0) > (before.at(-1)?.beats ?? 0) && seconds
    },
    250,
  )
}
