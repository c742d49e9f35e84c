// SPDX-License-Identifier: Apache-2.0
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { Api } from '../api.ts'
import { CloudClient } from '../cloud/client.ts'
import { namesOf } from '../names.ts'
import * as plan from './plan.ts'

/*
 * The cloud controller manager's part in Services, on the control plane's machine: `node main.ts <lab>`. A Service of type LoadBalancer gets a
 * balancer of the cloud, whose targets are the nodes that say that they are well, or the Service's pods. It looks at everything once in a second and
 * remembers only failed checks, so it may be killed at any time: balancers are found by the Services' uids.
 */
const names = namesOf(process.argv[2] ?? '')
const api = new Api(6443, names.pki)
const cloud = new CloudClient(names)
const EVERY_MS = 1000
let failures: ReadonlyMap<string, number> = new Map()

async function list<T>(path: string): Promise<readonly T[]> {
  return (await api.get<{ readonly items: readonly T[] }>(path))?.items ?? []
}

/** GET that must say 200 within a second. */
function answers(check: string): Promise<boolean> {
  return new Promise(resolve => {
    const asked = request(check, { agent: false, timeout: 1000 }, response => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    asked.on('timeout', () => asked.destroy(new Error('timeout')))
    asked.on('error', () => resolve(false))
    asked.end()
  })
}

async function pass(): Promise<void> {
  const services = await list<plan.Service>('/api/v1/services')
  const ours = services.filter(plan.isOurs)
  const kept = new Set(ours.map(plan.nameOf))
  for (const { name } of await cloud.send('/balancer/list', {})) if (!kept.has(name)) await cloud.send('/balancer/delete', { name })
  for (const service of services) if (!kept.has(plan.nameOf(service))) await tell(service, [])
  if (ours.length === 0) return
  const nodes = plan.usable(await list<plan.Node>('/api/v1/nodes'))
  const slices = ours.some(plan.hasPodTargets) ? await list<plan.Slice>('/apis/discovery.k8s.io/v1/endpointslices') : []
  const checks = new Set(ours.filter(s => !plan.hasPodTargets(s)).flatMap(service => nodes.map(node => plan.checkOf(service, node))))
  failures = plan.counted(failures, new Map(await Promise.all([...checks].map(async check => [check, await answers(check)] as const))))
  const well = (check: string) => (failures.get(check) ?? 0) <= plan.failuresAllowed
  for (const service of ours) {
    const listeners = plan.hasPodTargets(service) ? plan.podListeners(service, slices) : plan.nodeListeners(service, nodes, well)
    const wanted = { name: plan.nameOf(service), scheme: plan.schemeOf(service), families: plan.familiesOf(service) }
    await tell(service, await cloud.send('/balancer/put', { ...wanted, listeners }))
  }
}

/** The Service's status says where it is reached; written only when it says something else. */
async function tell(service: plan.Service, addresses: readonly string[]): Promise<void> {
  const status = plan.statusFor(service, addresses)
  if (status === undefined) return
  const path = `/api/v1/namespaces/${service.metadata.namespace}/services/${service.metadata.name}/status`
  const answer = await api.send('PATCH', path, status, 'application/merge-patch+json')
  if (answer.status >= 300 && answer.status !== 404) throw new Error(`PATCH ${path}: ${answer.status} ${answer.text}`)
}

for (;;) {
  await pass().catch((e: Error) => console.error(`${new Date().toISOString()} ${e.message}`))
  await sleep(EVERY_MS)
}
