// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { get } from '../../lab/get.ts'
import { until } from '../../lab/process.ts'
import { inDaemon } from '../../lab/terway.ts'
import type { ServiceView } from '../../src/compile/service/view.ts'
import type { Source } from './matrix.ts'
import type { Parties } from './matrix-run.ts'
import { becomes, doorOf, makeService, type Told, targetsAt, tellsAll } from './services-lab.ts'
import { createPod, deletePods } from './terway-pods.ts'

/*
 * What Services can ask for besides doors and policies. `group: all` has a pod on each node: node1 and node2 are in one zone, node3 in another.
 */
const selector = { group: 'all' }
const from = ['V2 pod', 'V2 host', 'regular pod', 'regular host', 'outside'] as const satisfies readonly Source[]
const inside = from.filter(source => source !== 'outside')
const type = 'NodePort'
const nodes = ['node1', 'node2', 'node3'] as const

/** The same target often enough that chance shows. */
const often = (target: string, times = 32) => Array.from({ length: times }, () => target)
const serversOf = (told: readonly Told[]) => new Set(told.map(({ server = 'nobody' }) => server))

/** Backends stay while a client comes back in time, and are chosen anew when it does not. */
export async function affinityTimesOut(p: Parties): Promise<void> {
  const ports = { port: 8403, targetPort: 8080, nodePort: 30_403 }
  const sessionAffinityConfig = { clientIP: { timeoutSeconds: 2 } }
  const { spec } = await makeService(p.lab, 'short', ports, { type, selector, sessionAffinity: 'ClientIP', sessionAffinityConfig })
  const [ip4, ip6] = spec.clusterIPs
  const [door4] = doorOf(p, 'node1', 'outside')
  const ways = [
    ...(['V2 pod', 'V2 host', 'regular pod'] as const).map(source => ({ source, target: `tcp ${ip4} ${ports.port}` })),
    ...(['V2 pod', 'regular host'] as const).map(source => ({ source, target: `tcp ${ip6} ${ports.port}` })),
    { source: 'outside' as const, target: `tcp ${door4} ${ports.nodePort}` },
  ]
  const another = async ({ source, target }: { readonly source: Source; readonly target: string }) => {
    await becomes(p, source, [target], told => told.server !== undefined)
    const seen = new Set<string>()
    // Longer than the timeout, whose end is counted in whole seconds.
    const silence = 3_500
    const isAnother = async () => {
      const [one = '', ...others] = serversOf(await tellsAll(p, source, often(target, 8)))
      assert.notEqual(one, 'nobody', `${source}, ${target}`)
      // A busy machine may be silent for longer between two of them.
      return others.length === 0 && seen.add(one).size > 1
    }
    await until(`${source} gets another backend by ${target}`, 120_000, isAnother, silence)
  }
  await Promise.all(ways.map(another))
}

/** Which of the group's pods answer, from each source. */
type Near = Readonly<Record<(typeof from)[number], readonly string[]>>
const zoneA = ['answers-node1', 'answers-node2']
const zoneB = ['answers-node3']
const inZones: Near = { 'V2 pod': zoneA, 'V2 host': zoneA, 'regular pod': zoneB, 'regular host': zoneB, outside: zoneB }

async function answered(p: Parties, name: string, number: number, near: Near, distribution: string): Promise<void> {
  const ports = { port: 8000 + number, targetPort: 8080, nodePort: 30_000 + number }
  const { spec } = await makeService(p.lab, name, ports, { type, selector, trafficDistribution: distribution })
  const wrong = from.map(source => {
    // Whose zone counts is that of the node where the packet is translated.
    const targets = source === 'outside' ? targetsAt(doorOf(p, 'node3', source), ports.nodePort) : targetsAt(spec.clusterIPs, ports.port)
    return becomes(
      p,
      source,
      targets.flatMap(t => often(t, 8)),
      told => near[source].includes(told.server ?? ''),
    )
  })
  assert.deepEqual((await Promise.all(wrong)).flat(), [], distribution)
}

/** The hints are the controller manager's. A zone that has nobody gets everybody's. */
export async function nearEndpoints(p: Parties): Promise<void> {
  await answered(p, 'near', 404, inZones, 'PreferClose')
  const onNodes: Near = { ...inZones, 'V2 pod': ['answers-node1'], 'V2 host': ['answers-node1'] }
  await answered(p, 'nearest', 405, onNodes, 'PreferSameNode')
  await p.lab.kubectl(['label', 'pod', 'answers-node3', 'group-'])
  await answered(p, 'near', 404, { ...inZones, 'regular pod': zoneA, 'regular host': zoneA, outside: zoneA }, 'PreferClose')
  await p.lab.kubectl(['label', 'pod', 'answers-node3', 'group=all'])
}

/** A pod that never is ready, before a Service that does not mind and one that does. */
export async function notReadyAddresses(p: Parties): Promise<void> {
  await createPod(p.lab, 'unready', { node: 'node2', readinessGate: 'lab/never' })
  const unready = { test: 'unready' }
  const early = await makeService(p.lab, 'early', { port: 8406, targetPort: 8080 }, { selector: unready, publishNotReadyAddresses: true })
  const patient = await makeService(p.lab, 'patient', { port: 8407, targetPort: 8080 }, { selector: unready })
  const wrong = inside.flatMap(source => [
    becomes(p, source, targetsAt(early.spec.clusterIPs, 8406), told => told.server === 'unready'),
    becomes(p, source, targetsAt(patient.spec.clusterIPs, 8407), told => told.client === 'refused'),
  ])
  assert.deepEqual((await Promise.all(wrong)).flat(), [])
  await deletePods(p.lab, 'unready')
}

/** A Service that another proxy takes care of is none of ours, from when it says so until it does no more. */
export async function leftToAnotherProxy(p: Parties): Promise<void> {
  const ports = { port: 8408, targetPort: 8080 }
  const { spec } = await makeService(p.lab, 'foreign', ports, { selector })
  const targets = targetsAt(spec.clusterIPs, ports.port)
  const label = 'service.kubernetes.io/service-proxy-name'
  const asked = (right: (told: Told) => boolean) => Promise.all(inside.map(source => becomes(p, source, targets, right)))
  assert.deepEqual((await asked(told => told.server !== undefined)).flat(), [])
  await p.lab.kubectl(['label', 'service', 'foreign', `${label}=another`])
  assert.deepEqual((await asked(told => told.server === undefined)).flat(), [])
  await p.lab.kubectl(['label', 'service', 'foreign', `${label}-`])
  assert.deepEqual((await asked(told => told.server !== undefined)).flat(), [])
}

/** Every source asks at every door that it has: its own node's NodePort, and those of the others; whatever the policy is, there is nobody. */
export async function refusedWithoutEndpoints(p: Parties): Promise<void> {
  const policies = { externalTrafficPolicy: 'Local', internalTrafficPolicy: 'Local' }
  const refused = async (name: string, number: number, more: object) => {
    const ports = { port: 8000 + number, targetPort: 8080, nodePort: 30_000 + number }
    const { spec } = await makeService(p.lab, name, ports, { type, selector: { test: 'nobody' }, ...more })
    const wrong = from.map(source => {
      const doors = nodes.flatMap(node => doorOf(p, node, source))
      const targets = [...targetsAt(doors, ports.nodePort), ...(source === 'outside' ? [] : targetsAt(spec.clusterIPs, ports.port))]
      return becomes(p, source, targets, told => told.client === 'refused')
    })
    return (await Promise.all(wrong)).flat()
  }
  assert.deepEqual((await Promise.all([refused('empty', 501, {}), refused('empty-local', 502, policies)])).flat(), [])
}

async function usesMaglev(p: Parties, service: string): Promise<boolean | undefined> {
  const shown = await inDaemon(p.lab, 'node1', 'terway-cli', 'service', 'show', `default/${service}`, '--output', 'json').catch(
    () => undefined,
  )
  return shown === undefined ? undefined : (JSON.parse(shown) as ServiceView).maglev
}

/** By eni_conf for all Services, but for one that says otherwise; connections come to every backend all the same. */
export async function backendsByMaglev(p: Parties): Promise<void> {
  const { spec } = await makeService(p.lab, 'hashed', { port: 8409, targetPort: 8080 }, { selector })
  await p.lab.kubectl(['annotate', 'service', 'near', 'k8s.aliyun.com/service-algorithm=random'])
  const set = async (algorithm: 'random' | 'maglev') => {
    const configMap = ['-n', 'kube-system', 'configmap', 'eni-config']
    const { data } = await get<{ readonly data: Readonly<Record<string, string>> }>(p.lab, ...configMap)
    const conf = JSON.stringify({ ...JSON.parse(data.eni_conf ?? ''), service_algorithm: algorithm })
    await p.lab.kubectl(['patch', ...configMap, '--type=merge', '-p', JSON.stringify({ data: { eni_conf: conf } })])
  }
  await set('maglev')
  await until('backends are chosen by Maglev', 120_000, () => usesMaglev(p, 'hashed'), 250)
  assert.equal(await usesMaglev(p, 'near'), false)
  const [target = ''] = targetsAt(spec.clusterIPs, 8409)
  const spread = async (source: Source) => {
    const wrong = await becomes(p, source, targetsAt(spec.clusterIPs, 8409), told => told.server !== undefined)
    return [...wrong, serversOf(await tellsAll(p, source, often(target))).size]
  }
  assert.deepEqual(await Promise.all([spread('V2 pod'), spread('V2 host'), spread('regular pod')]), [[3], [3], [3]])
  await set('random')
}
