// SPDX-License-Identifier: Apache-2.0
// terway-policy as the chart starts it, with real maps in a BPF file system of its own and an API server that is simulated: from its start until 5 000
// Services with 50 000 endpoints are in the maps, from a change on a watch until the map has it, and what that takes of memory and CPU time.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { maps } from '#kernel/bpf/maps.ts'
import { serviceScope } from '#kernel/bpf/words.ts'
import { observeHost } from '#kernel/host.ts'
import { makeKernel } from '#kernel/kernel.ts'
import type { Kernel } from '#kernel/port.ts'
import { parseIp } from '#net/ip.ts'
import { pass, programsReturning } from '../test/kernel/bpf-lab.ts'
import { until } from '../test/support/until.ts'
import { root } from '../tools/components.ts'
import { amount } from './measure/machine.ts'
import { row, writeRows } from './measure/row.ts'
import { percentile, stretches } from './measure/stats.ts'
import type { ListApi } from './node/api.ts'
import { isolated } from './node/isolate.ts'
import { changeEndpoints, clusterIp, endpointsEach, servicesApi } from './node/services.ts'
import { cpuMsOf, mallocEnv, megabytes, nodeOptions, profile } from './node/terwayd.ts'

const count = amount(5_000, 500)
const starts = amount(3, 1)
const changes = amount(1_500, 50)
const perSecond = 50
const idleMs = amount(60_000, 2_000)
const node = 'node-1'
const base = 'http://127.0.0.1:9130'
const capabilities = '/var/run/eni/node_capabilities'

/** The bundle in a process of its own. */
class Policy {
  readonly process: ChildProcess
  readonly begun = performance.now()

  constructor(dir: string, kubeconfig: string) {
    const chart = readFileSync(join(root, 'deploy/chart/terway/templates/daemonset.yaml'), 'utf8')
    const args = [
      ...nodeOptions(chart, 'terway-policy.mjs'),
      ...profile,
      join(root, 'dist', 'terway-policy.mjs'),
      '-kubeconfig',
      kubeconfig,
    ]
    const out = openSync(join(dir, 'policy.log'), 'a')
    const env = { ...mallocEnv(chart), PATH: process.env.PATH, NODE_NAME: node }
    this.process = spawn(process.execPath, args, { env, stdio: ['ignore', out, out], cwd: '/' })
    closeSync(out)
  }

  /** Seconds from the start until it says that all is in the maps. */
  async ready(): Promise<number> {
    const ok = async () => (await fetch(`${base}/readyz`).catch(() => undefined))?.status === 200
    await until(ok, 'terway-policy is ready')
    return (performance.now() - this.begun) / 1000
  }

  async written(): Promise<number> {
    const text = await (await fetch(`${base}/metrics`)).text()
    return Number(/^terway_policy_written_entries_total (\d+)$/m.exec(text)?.[1])
  }

  memory(line: 'VmRSS' | 'VmHWM'): number {
    return megabytes(this.process.pid, line)
  }

  cpuMs(): number {
    return cpuMsOf(this.process.pid)
  }

  async stop(): Promise<void> {
    const exited = once(this.process, 'exit')
    if (this.process.kill('SIGTERM')) await exited
  }
}

function place(dir: string): void {
  execFileSync('mount', ['-t', 'bpf', 'bpf', '/sys/fs/bpf'])
  mkdirSync('/var/run/eni', { recursive: true })
  writeFileSync(join(dir, 'programs.json'), JSON.stringify(programsReturning(pass, 'bbbbbbbbbbbb')))
}

function kubeconfigOf(dir: string, server: string): string {
  const path = join(dir, 'kubeconfig')
  const named = (what: string, value: object) => [{ name: 'bench', [what]: value }]
  const doc = {
    'current-context': 'bench',
    contexts: named('context', { cluster: 'bench', user: 'bench' }),
    clusters: named('cluster', { server }),
    users: named('user', { token: 'bench' }),
  }
  writeFileSync(path, JSON.stringify(doc))
  return path
}

/** The number of the set behind a Service's ClusterIP, as it stands in the maps. */
async function setOf(kernel: Kernel, service: number): Promise<string> {
  const key = maps.services.key
    .encode({ ip: parseIp(clusterIp(service)), port: 80, protocol: 6, scope: serviceScope.inside })
    .toString('hex')
  const value = await entryOf(kernel, 'services', key)
  if (value === undefined) throw new Error(`Service ${service} is not in the maps`)
  return maps.backend_sets.key.encode({ set: maps.services.value.decode(Buffer.from(value, 'hex')).set }).toString('hex')
}

async function entryOf(kernel: Kernel, map: 'services' | 'backend_sets', key: string): Promise<string | undefined> {
  const { entries } = await observeHost(kernel, { links: [], families: [], entries: [{ map, key }] })
  return entries[0]?.value
}

/** Milliseconds until the map says that the Service has so many endpoints. */
async function change(api: ListApi, kernel: Kernel, service: number, endpoints: number): Promise<number> {
  const key = await setOf(kernel, service)
  const wanted = maps.backend_sets.value.encode({ count: endpoints }).toString('hex')
  const begun = performance.now()
  changeEndpoints(api, service, endpoints)
  while ((await entryOf(kernel, 'backend_sets', key)) !== wanted)
    if (performance.now() - begun > 10_000) throw new Error('a change is lost')
  return performance.now() - begun
}

/** Changes from this number on, each when its time has come, whether those before are in the map or not. */
function churn<T>(from: number, make: (service: number, endpoints: number) => T | Promise<T>): Promise<T[]> {
  const begun = performance.now()
  const one = async (i: number) => {
    await setTimeout(Math.max(0, begun + ((i - from) * 1000) / perSecond - performance.now()))
    const service = (i * 7919) % count
    return await make(service, endpointsEach + 1 - 2 * (Math.floor((i * 7919) / count) % 2))
  }
  return Promise.all(Array.from({ length: changes }, (_, i) => one(from + i)))
}

await isolated(async dir => {
  place(dir)
  const kernel = await makeKernel({ object: join(dir, 'programs.json') })
  const api = servicesApi(count, node)
  const kubeconfig = kubeconfigOf(dir, await api.listen())
  writeFileSync(capabilities, 'kube_proxy_replacement = false\n')
  const idle = new Policy(dir, kubeconfig)
  await idle.ready()
  await setTimeout(1000)
  const idleRss = idle.memory('VmRSS')
  await idle.stop()
  writeFileSync(capabilities, 'kube_proxy_replacement = true\n')
  const [first, again, written]: [number[], number[], number[]] = [[], [], []]
  const [peaks, rss]: [number[], number[]] = [[], []]
  for (let round = 0; round < starts; round++) {
    await kernel.unloadPrograms()
    await kernel.loadPrograms()
    const cold = new Policy(dir, kubeconfig)
    first.push(await cold.ready())
    await cold.stop()
    const warm = new Policy(dir, kubeconfig)
    again.push(await warm.ready())
    await until(() => api.watched, 'the restarted process watches')
    await setTimeout(2000)
    written.push(await warm.written())
    peaks.push(warm.memory('VmHWM'))
    await warm.stop()
    console.log(`sync: start ${first.at(-1)?.toFixed(1)} s, restart ${again.at(-1)?.toFixed(1)} s, peak ${peaks.at(-1)?.toFixed(0)} MB`)
  }
  const policy = new Policy(dir, kubeconfig)
  await policy.ready()
  await until(() => api.watched, 'the process watches')
  await setTimeout(2000)
  const quietFrom = policy.cpuMs()
  await setTimeout(idleMs)
  const quiet = (policy.cpuMs() - quietFrom) / idleMs
  const writtenFrom = await policy.written()
  const times = await churn(0, (service, endpoints) => change(api, kernel, service, endpoints))
  const writtenEach = ((await policy.written()) - writtenFrom) / changes
  rss.push(policy.memory('VmRSS'))
  // As many once more, while nobody looks: whoever spins on a map takes processor and caches from whom is measured.
  const [from, begun] = [policy.cpuMs(), performance.now()]
  await churn(changes, (service, endpoints) => changeEndpoints(api, service, endpoints))
  const busy = (policy.cpuMs() - from) / (performance.now() - begun)
  await policy.stop()
  await kernel.unloadPrograms()
  await kernel.close()
  api.close()
  writeRows('sync', [
    row('sync.start.s', first),
    row('sync.restart.s', again),
    row('sync.restart.changes', written),
    row('sync.p50.ms', stretches(times)),
    row('sync.p99.ms', [percentile(times, 0.99)]),
    row('sync.change.entries', [writtenEach]),
    row('policyd.rss.mb', rss),
    row('policyd.rss.peak.mb', peaks),
    row('policyd.rss.idle.mb', [idleRss]),
    row('policyd.cpu.cores', [busy]),
    row('policyd.cpu.idle.cores', [quiet]),
  ])
})
