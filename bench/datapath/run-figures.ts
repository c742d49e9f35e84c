// SPDX-License-Identifier: Apache-2.0
import type { Figure } from '../measure/figures.ts'

const whats = {
  pod_in: 'pod_in with a packet of an open TCP connection',
  eni_in: 'eni_in, the same',
  'pod_in.service': 'pod_in, the same of a connection to a Service',
  'eni_in.service': 'eni_in, the same of an answer of a Service',
  'pod_in.local': 'pod_in, the same to a pod of the node',
  pod_out: 'pod_out, the same from the node',
  'pod_in.first': 'pod_in with the first packet of a TCP connection',
  'eni_in.first': 'eni_in, the same',
  'pod_in.service.first': 'pod_in, the same to a Service',
} as const
export type RunId = keyof typeof whats

export const runFigure = (id: RunId) => `dp.run.${id}.us`

export const runFigures: Readonly<Record<string, Figure>> = Object.fromEntries(
  Object.entries(whats).map(([id, what]) => [
    runFigure(id as RunId),
    { unit: 'us', what: `a run by itself, again and again with warm caches, the least of all: ${what}` },
  ]),
)
