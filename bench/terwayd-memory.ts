// SPDX-License-Identifier: Apache-2.0
// Resident memory of terwayd as the chart starts it: idle, with 200 pods, and over 20 000 ADDs and DELs of pods that come and go.

import { until } from '../test/support/until.ts'
import { amount } from './measure/machine.ts'
import { row, writeRows } from './measure/row.ts'
import { writeSeries } from './measure/series.ts'
import { slope } from './measure/stats.ts'
import { isolated } from './node/isolate.ts'
import { type BenchPod, type TerwaySide, terwaySide } from './node/plugin.ts'

const batch = 200
const total = amount(20_000, 600)
/** The part of the churn whose growth counts: in the first part heaps and caches take their size. */
const settledFrom = 0.5
const steady = 1

let pods = 0

async function fill(side: TerwaySide): Promise<readonly BenchPod[]> {
  const names = Array.from({ length: batch }, () => `pod-${++pods}`)
  const uids = await side.cluster.createPods(names, side.nodeName)
  const made = names.map((name, i): BenchPod => ({ name, uid: uids[i] ?? '', sandbox: i }))
  for (const pod of made) await side.runner.one(side.job('ADD', pod))
  return made
}

async function empty(side: TerwaySide, made: readonly BenchPod[]): Promise<void> {
  for (const pod of made) await side.runner.one(side.job('DEL', pod))
  await side.settled()
  await side.cluster.deletePods()
}

/** The memory when it has stopped moving: two readings a second apart differ by less than `steady` MB. */
async function resting(side: TerwaySide): Promise<number> {
  let last = Number.POSITIVE_INFINITY
  let readAt = Number.NEGATIVE_INFINITY
  await until(() => {
    if (performance.now() - readAt < 1000) return false
    const now = side.daemon.rss()
    const still = Math.abs(now - last) < steady
    last = now
    readAt = performance.now()
    return still
  }, 'the memory of terwayd rests')
  return last
}

await isolated(async dir => {
  const side = await terwaySide(dir, batch)
  const idle = await resting(side)
  const anonymous = side.daemon.anonymous()
  const made = await fill(side)
  const full = await resting(side)
  await empty(side, made)
  const series: [count: number, mb: number, own: number][] = [[batch, side.daemon.rss(), side.daemon.anonymous()]]
  for (let count = 2 * batch; count <= total; count += batch) {
    await empty(side, await fill(side))
    series.push([count, side.daemon.rss(), side.daemon.anonymous()])
    if (count % 2000 === 0) console.log(`terwayd-memory: ${count} of ${total}, ${Math.round(side.daemon.rss())} MB`)
  }
  const after = await resting(side)
  const late = series.filter(([count]) => count >= total * settledFrom)
  const growth = slope(late.map(([count, mb]) => [count, mb] as const)) * (total * (1 - settledFrom))
  writeRows('terwayd-memory', [
    row('terwayd.rss.idle.mb', [idle]),
    row('terwayd.anonymous.idle.mb', [anonymous]),
    row('terwayd.rss.200pods.mb', [full]),
    row('terwayd.rss.after20k.mb', [after]),
    row('terwayd.rss.growth.mb', [growth]),
  ])
  writeSeries('terwayd-memory', {
    x: 'ADDs and DELs',
    y: 'MB',
    lines: [
      { name: 'resident', points: series.map(([count, mb]) => [count, mb]) },
      { name: 'anonymous', points: series.map(([count, , own]) => [count, own]) },
    ],
  })
})
