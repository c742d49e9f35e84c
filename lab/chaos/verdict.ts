// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import { familiesOf, type Stack } from '../../src/net/stack.ts'
import { disagreements, idleOf, unaccounted, type Witnesses, witnesses } from '../agree.ts'
import { get } from '../get.ts'
import { expectClients, fromPod, hostPort } from '../http.ts'
import type { Lab } from '../lab.ts'
import { ipOf, isReady, type Pod, podsOf } from '../pods.ts'
import { appPort } from './act.ts'
import { heldTwice, holdings } from './sample.ts'

export interface Pool {
  readonly min: number
  readonly max: number
}

/** What is wrong, one line each; empty = nothing. */
export interface Check {
  readonly name: string
  readonly find: (lab: Lab) => Promise<readonly string[]>
}

interface Deployment {
  readonly metadata: { readonly name: string }
  readonly spec: { readonly replicas: number }
  readonly status: { readonly readyReplicas?: number }
}

/** What still moves: the cluster is quiet when everything wanted runs and nothing else does. */
export async function unrest(lab: Lab): Promise<readonly string[]> {
  const [deployments, pods] = await Promise.all([get<Deployment[]>(lab, 'deployments'), get<Pod[]>(lab, 'pods', '--all-namespaces')])
  return [
    ...deployments
      .filter(d => d.spec.replicas !== (d.status.readyReplicas ?? 0))
      .map(d => `${d.metadata.name}: ${d.status.readyReplicas ?? 0} of ${d.spec.replicas} ready`),
    ...pods
      .filter(p => !isReady(p))
      .map(p => `${p.metadata.name}: ${p.metadata.deletionTimestamp ? 'not gone' : `not ready (${p.status.phase})`}`),
  ]
}

/** Everything that must hold of a quiet cluster. Released addresses rest 30 s and ENIs go slowly, so each check has its time. */
export function checks(pool: Pool): readonly Check[] {
  return [
    { name: 'no address is held twice', find: async lab => heldTwice(await holdings(lab)) },
    { name: 'cloud, resources, kernel and API server agree; no device, rule or route is left over', find: differences },
    { name: 'every ENI of the cloud is accounted for, and no cloud call is open', find: unaccounted },
    {
      name: `idle addresses of each node serve ${pool.min} to ${pool.max} pods`,
      find: async lab => outOfPool(await witnesses(lab), lab.state.stack, pool),
    },
    { name: 'every surviving pod answers a pod of each node, and sees its address', find: unreachable },
  ]
}

async function differences(lab: Lab): Promise<readonly string[]> {
  return (await witnesses(lab)).flatMap(disagreements)
}

/** Pure. */
export function outOfPool(all: readonly Witnesses[], stack: Stack, { min, max }: Pool): readonly string[] {
  return all.flatMap(w => {
    const idle = idleOf(w, stack)
    return idle < min || idle > max ? `the idle addresses of ${w.node} serve ${idle} pods` : []
  })
}

async function unreachable(lab: Lab): Promise<readonly string[]> {
  const pods = await podsOf(lab, 'chaos')
  const sources = lab.state.nodes.flatMap(n => pods.find(p => p.spec.nodeName === n.name) ?? [])
  const asked = familiesOf(lab.state.stack).flatMap(family => sources.map(source => ({ family, source })))
  const found = await Promise.all(
    asked.map(async ({ family, source }) => {
      try {
        const targets = pods.map(p => hostPort(ipOf(p, family), appPort))
        expectClients(await fromPod(lab, source, targets), () => ipOf(source, family))
        return []
      } catch (e) {
        return [`from ${source.metadata.name} on ${source.spec.nodeName}: ${e instanceof Error ? e.message : e}`]
      }
    }),
  )
  return found.flat()
}

/** Asks until nothing is found or `ms` are over; what was found last. Tells each change. A cluster that cannot be asked is a finding too. */
export async function settle(
  lab: Lab,
  find: Check['find'],
  ms: number,
  tell: (found: readonly string[]) => void = () => {},
): Promise<readonly string[]> {
  const deadline = performance.now() + ms
  let told = ''
  for (;;) {
    const found = await find(lab).catch((e: Error) => [e.message])
    if (found.length === 0 || performance.now() > deadline) return found
    if (found.join() !== told) tell(found)
    told = found.join()
    await sleep(1_000)
  }
}
