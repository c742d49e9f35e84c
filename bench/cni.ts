// SPDX-License-Identifier: Apache-2.0
// What a container runtime waits for: ADD and DEL of terwayd behind the shim, against ptp with host-local, in equal nodes,
// round by round in turn.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { amount } from './measure/machine.ts'
import { ratios, row, writeRows } from './measure/row.ts'
import { median, percentile, stretches } from './measure/stats.ts'
import type { BenchCluster } from './node/cluster.ts'
import { isolated } from './node/isolate.ts'
import { addNetns, benchEni, makeNode, plugEni } from './node/network.ts'
import { type BenchPod, ptpSide, type Side, type TerwaySide, terwaySide } from './node/plugin.ts'
import { shim } from './node/terwayd.ts'

const rounds = amount(20, 2)
/** Pods of a round that come one after the other, and pods that come at once. */
const serial = amount(100, 20)
const burst = 100
const phased = amount(200, 10)
const shims = amount(500, 20)

/** One round of one side, in microseconds. */
interface Round {
  readonly add: readonly number[]
  readonly del: readonly number[]
  /** From the first DEL until the kernel is clean. */
  readonly drain: number
  readonly addAtOnce: number
  /** CPU time of one pod's ADD and DEL; what the API server does is not in it. */
  readonly cpu: number
}

let pods = 0

async function oneRound(side: Side, cluster: BenchCluster): Promise<Round> {
  const add: number[] = []
  const made: BenchPod[] = []
  let cpu = 0
  const call = async (command: 'ADD' | 'DEL', pod: BenchPod) => {
    const measured = await side.runner.one(side.job(command, pod))
    cpu += measured.cpuUs
    return measured.us
  }
  const daemonBefore = side.daemonCpuMs()
  for (let i = 0; i < serial; i++) {
    const name = `pod-${++pods}`
    const pod = { name, uid: await cluster.createPod(name, side.nodeName), sandbox: i }
    made.push(pod)
    add.push(await call('ADD', pod))
  }
  const del: number[] = []
  const began = performance.now()
  for (const pod of made) del.push(await call('DEL', pod))
  await side.settled()
  const drain = (performance.now() - began) * 1000
  cpu += (side.daemonCpuMs() - daemonBefore) * 1000
  await cluster.deletePods()
  return { add, del, drain, addAtOnce: await atOnce(side, cluster), cpu: cpu / serial }
}

async function atOnce(side: Side, cluster: BenchCluster): Promise<number> {
  const names = Array.from({ length: burst }, () => `pod-${++pods}`)
  const uids = await cluster.createPods(names, side.nodeName)
  const made = names.map((name, i): BenchPod => ({ name, uid: uids[i] ?? '', sandbox: i }))
  const done = await side.runner.run(made.map(pod => side.job('ADD', pod)))
  await side.runner.run(made.map(pod => side.job('DEL', pod)))
  await side.settled()
  await cluster.deletePods()
  return Math.max(...done.map(m => m.sinceStartUs))
}

const steps = ['parse', 'pod', 'lease', 'ledger', 'kernel'] as const

/** Where the time of an ADD goes: the daemon's own histograms, read after each ADD. Milliseconds, one list per part. */
async function phases(side: TerwaySide): Promise<ReadonlyMap<string, readonly number[]>> {
  const found = new Map<string, number[]>()
  const note = (part: string, ms: number) => found.set(part, [...(found.get(part) ?? []), ms])
  const sums = () => side.daemon.metric('terway_cni_add_phase_seconds_sum', 'phase')
  let before = await sums()
  for (let i = 0; i < phased; i++) {
    const name = `pod-${++pods}`
    const pod = { name, uid: await side.cluster.createPod(name, side.nodeName), sandbox: i % burst }
    const { us } = await side.runner.one(side.job('ADD', pod))
    const after = await sums()
    const then = before
    before = after
    const spent = (phase: string) => ((after.get(phase) ?? 0) - (then.get(phase) ?? 0)) * 1000
    for (const step of steps) note(step, step === 'lease' ? spent('lease') - spent('ledger') : spent(step))
    note('daemon', spent('total'))
    note('shim', us / 1000 - spent('total'))
    await side.runner.one(side.job('DEL', pod))
  }
  await side.settled()
  await side.cluster.deletePods()
  return found
}

/** The shim against a daemon that answers at once. Milliseconds. */
async function shimAlone({ runner }: Side): Promise<readonly number[]> {
  const socket = '/run/answer.socket'
  await runner.answerOn(socket)
  const env = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'c', CNI_NETNS: '/run/netns/x', CNI_IFNAME: 'eth0', TERWAY_CNI_SOCKET: socket }
  const found: number[] = []
  for (let i = 0; i < shims; i++) found.push((await runner.one({ program: shim, env, stdin: '{"cniVersion":"1.0.0"}' })).us / 1000)
  return found
}

/** The netlink calls of an ADD in a process and a node of their own. Milliseconds. */
async function kernelAlone(): Promise<readonly number[]> {
  addNetns('alone')
  makeNode('alone')
  plugEni('alone', 1, benchEni(1, 1))
  const program = join(import.meta.dirname, 'kernel-alone.ts')
  const argv = ['--net=/run/netns/alone', process.execPath, program, String(amount(500, 20))]
  const child = spawn('nsenter', argv, { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`kernel-alone.ts ended with ${code}`)
  return JSON.parse(text) as number[]
}

await isolated(async dir => {
  const terway = await terwaySide(dir, burst)
  const ptp = await ptpSide(dir, burst)
  const found: Record<Side['name'], Round[]> = { terway: [], ptp: [] }
  // The first pods warm the caches of both sides.
  for (const side of [ptp, terway]) await atOnce(side, terway.cluster)
  for (let i = 0; i < rounds; i++) {
    for (const side of i % 2 === 0 ? [terway, ptp] : [ptp, terway]) found[side.name].push(await oneRound(side, terway.cluster))
    console.log(`cni: round ${i + 1} of ${rounds}`)
  }
  const parts = await phases(terway)
  const alone = await kernelAlone()
  const shimTimes = await shimAlone(terway)
  await terway.daemon.remove()
  const each = (side: Side['name'], of: (r: Round) => number) => found[side].map(of)
  const vs = (figure: string, of: (r: Round) => number, baseline: string | null = null) =>
    row(figure, ratios(each('terway', of), each('ptp', of)), baseline)
  const ms = (figure: string, side: Side['name'], of: (r: Round) => number) =>
    row(
      figure,
      each(side, r => of(r) / 1000),
    )
  const p = (q: number, what: 'add' | 'del') => (r: Round) => percentile(r[what], q)
  const part = (name: string) => stretches(parts.get(name) ?? [])
  const kernel = median(alone)
  writeRows('cni', [
    vs('cni.add.p50.vs_ptp', p(0.5, 'add'), 'cni.ptp.add.p50.ms'),
    vs('cni.add.p99.vs_ptp', p(0.99, 'add'), 'cni.ptp.add.p99.ms'),
    vs('cni.del.p50.vs_ptp', p(0.5, 'del'), 'cni.ptp.del.p50.ms'),
    vs('cni.drain.vs_ptp', r => r.drain),
    vs('cni.add100.vs_ptp', r => r.addAtOnce, 'cni.ptp.add100.ms'),
    vs('cni.pod.cpu.vs_ptp', r => r.cpu, 'cni.ptp.pod.cpu.ms'),
    ms('cni.add.p50.ms', 'terway', p(0.5, 'add')),
    ms('cni.add.p99.ms', 'terway', p(0.99, 'add')),
    row('cni.add.p999.ms', [
      percentile(
        found.terway.flatMap(r => r.add),
        0.999,
      ) / 1000,
    ]),
    ms('cni.del.p50.ms', 'terway', p(0.5, 'del')),
    ms('cni.add100.ms', 'terway', r => r.addAtOnce),
    ms('cni.pod.cpu.ms', 'terway', r => r.cpu),
    ms('cni.ptp.pod.cpu.ms', 'ptp', r => r.cpu),
    ms('cni.ptp.add.p50.ms', 'ptp', p(0.5, 'add')),
    ms('cni.ptp.add.p99.ms', 'ptp', p(0.99, 'add')),
    ms('cni.ptp.del.p50.ms', 'ptp', p(0.5, 'del')),
    ms('cni.ptp.add100.ms', 'ptp', r => r.addAtOnce),
    row(
      'cni.add.daemon_vs_kernel',
      part('daemon').map(t => t / kernel),
      'cni.add.kernel_alone.ms',
    ),
    row('cni.add.daemon.ms', part('daemon')),
    row('cni.add.kernel_alone.ms', stretches(alone)),
    row('cni.shim.ms', stretches(shimTimes)),
    ...['shim', ...steps].map(name => row(`cni.add.phase.${name}.ms`, part(name))),
  ])
})
