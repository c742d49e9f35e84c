// SPDX-License-Identifier: Apache-2.0
import { generator } from '../../sim/fault.ts'

/** Who is killed. Programs of a node are killed on `node`; of the control plane's replicas, `pick` (0 ≤ pick < 1) says which. */
export type Victim =
  | { readonly program: 'terwayd' | 'kubelet' | 'containerd'; readonly node: string }
  | { readonly program: 'terway-controlplane'; readonly pick: number }
  | { readonly program: 'kube-apiserver' | 'simulator' }

/** One thing that is done to the cluster. `grace` in seconds; 0 takes the pod from the API server before its sandbox ends. */
export type Act =
  | { readonly kind: 'scale'; readonly deployment: string; readonly replicas: number }
  | { readonly kind: 'create'; readonly pod: string }
  | { readonly kind: 'delete'; readonly pod: string; readonly grace: 0 | 1 }
  /** Created, and deleted `after` milliseconds later. */
  | { readonly kind: 'flash'; readonly pod: string; readonly after: number; readonly grace: 0 | 1 }
  | { readonly kind: 'kill'; readonly victim: Victim }

export interface Scheduled {
  /** Milliseconds since the start. */
  readonly at: number
  readonly act: Act
}

export const deployments: readonly string[] = ['web-0', 'web-1', 'web-2']
const most = { replicas: 5, single: 6 }
const gap = { work: [300, 1700], kill: [1500, 5000] } as const

/** How often each program is killed in one round of the deck; every program has its turn in every round. */
const deck: readonly Victim['program'][] = [
  ...Array<'terwayd'>(4).fill('terwayd'),
  ...Array<'terway-controlplane'>(2).fill('terway-controlplane'),
  ...Array<'kubelet'>(2).fill('kubelet'),
  ...Array<'containerd'>(2).fill('containerd'),
  'kube-apiserver',
  'simulator',
]

/** The whole schedule, in order of time: the same for the same numbers, whatever the cluster does. Pure. */
export function plan(seed: number, seconds: number, nodes: readonly string[]): readonly Scheduled[] {
  const work = workload(generator(seed), seconds * 1000)
  const kills = killing(generator(seed ^ 0x5bd1e995), seconds * 1000, nodes)
  return [...work, ...kills].toSorted((a, b) => a.at - b.at)
}

function workload(random: () => number, end: number): Scheduled[] {
  const acts: Scheduled[] = []
  const single: string[] = []
  let made = 0
  for (let at = between(random, gap.work); at < end; at += between(random, gap.work)) acts.push({ at, act: next() })
  return acts

  function next(): Act {
    const dice = random()
    const grace = random() < 0.5 ? 0 : 1
    if (dice < 0.4) return { kind: 'scale', deployment: pick(random, deployments), replicas: Math.floor(random() * (most.replicas + 1)) }
    if (dice < 0.65) return { kind: 'flash', pod: `flash-${made++}`, after: Math.floor(random() * 2500), grace }
    if (single.length > 0 && (dice > 0.85 || single.length >= most.single)) {
      const [pod = ''] = single.splice(Math.floor(random() * single.length), 1)
      return { kind: 'delete', pod, grace }
    }
    const pod = `single-${made++}`
    single.push(pod)
    return { kind: 'create', pod }
  }
}

function killing(random: () => number, end: number, nodes: readonly string[]): Scheduled[] {
  const acts: Scheduled[] = []
  let left: Victim['program'][] = []
  for (let at = between(random, gap.kill); at < end; at += between(random, gap.kill)) {
    if (left.length === 0) left = [...deck]
    const [program = 'terwayd'] = left.splice(Math.floor(random() * left.length), 1)
    acts.push({ at, act: { kind: 'kill', victim: victim(program) } })
  }
  return acts

  function victim(program: Victim['program']): Victim {
    switch (program) {
      case 'terwayd':
      case 'kubelet':
      case 'containerd':
        return { program, node: pick(random, nodes) }
      case 'terway-controlplane':
        return { program, pick: random() }
      case 'kube-apiserver':
      case 'simulator':
        return { program }
    }
  }
}

function between(random: () => number, [low, high]: readonly [number, number]): number {
  return low + Math.floor(random() * (high - low))
}

function pick<T>(random: () => number, items: readonly [T, ...T[]] | readonly T[]): T {
  const item = items[Math.floor(random() * items.length)]
  if (item === undefined) throw new Error('nothing to pick from')
  return item
}

/** One line for the timeline. */
export function describe(act: Act): string {
  switch (act.kind) {
    case 'scale':
      return `scale ${act.deployment} to ${act.replicas}`
    case 'create':
      return `create ${act.pod}`
    case 'delete':
      return `delete ${act.pod}${forced(act.grace)}`
    case 'flash':
      return `create ${act.pod}, delete it after ${act.after} ms${forced(act.grace)}`
    case 'kill':
      return `kill -9 ${'node' in act.victim ? `${act.victim.node}/` : ''}${act.victim.program}`
  }
}

function forced(grace: 0 | 1): string {
  return grace === 0 ? ' by force' : ''
}
