// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import { labApp } from '../../deploy/image/list.ts'
import type { Lab } from '../lab.ts'
import { identify, signal } from '../process.ts'
import type { Act, Victim } from './plan.ts'

export const appPort = 8080
/** How long an API server that is being killed may take to take a request. */
const patience = 60_000
const podsPath = '/api/v1/namespaces/default/pods'
const deploymentsPath = '/apis/apps/v1/namespaces/default/deployments'

/** Does it, trying again while the API server is away; returns what there is to say beyond the plan. */
export async function perform(lab: Lab, act: Act): Promise<string> {
  switch (act.kind) {
    case 'scale':
      return send(lab, 'PATCH', `${deploymentsPath}/${act.deployment}`, { spec: { replicas: act.replicas } })
    case 'create':
      return send(lab, 'POST', podsPath, pod(act.pod))
    case 'delete':
      return send(lab, 'DELETE', `${podsPath}/${act.pod}`, { gracePeriodSeconds: act.grace })
    case 'flash': {
      const created = await send(lab, 'POST', podsPath, pod(act.pod))
      await sleep(act.after)
      return created + (await send(lab, 'DELETE', `${podsPath}/${act.pod}`, { gracePeriodSeconds: act.grace }))
    }
    case 'kill':
      return kill(lab, act.victim)
  }
}

/** The Deployments, with nothing to run yet. */
export async function createDeployments(lab: Lab, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const labels = { chaos: name }
    const spec = { replicas: 0, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: podSpec } }
    await send(lab, 'POST', deploymentsPath, { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name }, spec })
  }
}

const podSpec = {
  terminationGracePeriodSeconds: 1,
  containers: [{ name: 'app', image: labApp.ref, imagePullPolicy: 'Never', env: [{ name: 'PORT', value: String(appPort) }] }],
}

function pod(name: string): object {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { chaos: 'single' } }, spec: podSpec }
}

/** A request whose answer was lost is sent again: what is there already, or gone already, is fine. */
async function send(lab: Lab, method: string, path: string, body: object): Promise<string> {
  const deadline = Date.now() + patience
  for (let tries = 1; ; tries++) {
    const sent = lab.api.send(method, path, body, method === 'PATCH' ? 'application/merge-patch+json' : undefined)
    const answer = await sent.catch((e: Error) => ({ status: 503, text: e.message }))
    const done = answer.status < 300 || (method === 'POST' && answer.status === 409) || (method === 'DELETE' && answer.status === 404)
    if (done) return tries > 1 ? `at try ${tries} ` : ''
    // A fresh cluster refuses pods (403) until the default service account exists.
    const passing = answer.status >= 500 || answer.status === 429 || answer.status === 409 || answer.status === 403
    if (!passing || Date.now() > deadline) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`)
    await sleep(250)
  }
}

async function kill(lab: Lab, victim: Victim): Promise<string> {
  const pid = await find(lab, victim)
  const id = pid === undefined ? undefined : identify(pid)
  if (id === undefined) return 'not running at this moment'
  signal(id, 'SIGKILL')
  return `process ${id.pid}`
}

async function find(lab: Lab, victim: Victim): Promise<number | undefined> {
  switch (victim.program) {
    case 'terwayd':
      return processesOf(lab, '/usr/lib/terway/terwayd.mjs', victim.node)[0]
    case 'terway-controlplane': {
      const all = processesOf(lab, '/usr/bin/terway-controlplane')
      return all[Math.floor(victim.pick * all.length)]
    }
    case 'kubelet':
    case 'containerd':
      return pidOf(lab, victim.node, victim.program)
    case 'kube-apiserver':
      return pidOf(lab, 'control', victim.program)
    case 'simulator':
      return pidOf(lab, 'cloud', victim.program)
  }
}

function pidOf(lab: Lab, machine: string, program: string): Promise<number | undefined> {
  return lab.process(machine, program).then(
    p => p.pid,
    () => undefined,
  )
}

/** Processes of containers, by an argument that names the program. */
export function processesOf(lab: Lab, argument: string, node?: string): readonly number[] {
  return lab
    .nodes()
    .filter(n => node === undefined || n.name === node)
    .flatMap(n => n.programs().filter(p => p.argv[0]?.endsWith('/node') && p.argv.includes(argument)))
    .map(p => p.pid)
}
