// SPDX-License-Identifier: Apache-2.0
// What connections notice when somebody damages what terwayd made, and terwayd repairs it by itself: one TCP connection per pod
// sends a byte each millisecond. A connection is broken when it ends or pauses for more than 250 ms.
import { execFileSync } from 'node:child_process'
import { until } from '../test/support/until.ts'
import { amount } from './measure/machine.ts'
import { row, writeRows } from './measure/row.ts'
import { isolated } from './node/isolate.ts'
import { target } from './node/network.ts'
import { type BenchPod, terwaySide } from './node/plugin.ts'
import { compiled, LineProcess } from './node/runner.ts'

const rounds = amount(10, 1)
const count = 8
const tooLong = 250
const calm = 400

/** What the connections noticed since the last question. */
interface Beats {
  readonly sent: number
  readonly echoed: number
  readonly gapMs: number
  readonly ended: string
}

/** Damage to the pod with this address and host device, whose ENI has this table. Everything lies in the node's namespace. */
interface Damage {
  readonly id: string
  readonly command: (ip: string, device: string, table: string) => string
  /** Every pod of the ENI suffers, not one. */
  readonly wholeEni?: true
}

const damages: readonly Damage[] = [
  { id: 'rule_to_pod', command: ip => `ip rule del priority 512 to ${ip}` },
  { id: 'rule_from_pod', command: ip => `ip rule del priority 2048 from ${ip}` },
  { id: 'route_to_pod', command: ip => `ip route del ${ip}` },
  { id: 'eni_table', command: (_ip, _device, table) => `ip route flush table ${table}`, wholeEni: true },
  { id: 'host_end_down', command: (_ip, device) => `ip link set ${device} down` },
]

const run = (command: string) => execFileSync('sh', ['-c', command], { encoding: 'utf8' })
/** Rules, routes and working host ends of the node; in which order the kernel lists equal ones does not matter. */
const stateOf = () =>
  run('ip -4 rule; ip -4 route show table all; ip -o link show up | grep -o "cali[0-9a-f]*@"')
    .split('\n')
    .map(line => line.trim())
    .sort()
    .join('\n')

class Hearts {
  readonly #process: LineProcess

  constructor(pods: readonly string[]) {
    this.#process = new LineProcess([compiled('heartbeat'), target, '7777', '7777', '/run/netns/node-far', ...pods])
  }

  async started(): Promise<void> {
    await this.#process.hear(1)
  }

  async beats(): Promise<readonly Beats[]> {
    this.#process.say('\n')
    const [line = '[]'] = await this.#process.hear(1)
    return JSON.parse(line) as Beats[]
  }

  /** Until every living connection is echoed again, then for a while longer; what they noticed in all this time. */
  async recovered(): Promise<readonly Beats[]> {
    let worst: readonly Beats[] = await this.beats()
    let calmSince = performance.now()
    const add = (now: readonly Beats[]) => {
      worst = worst.map((w, i) => ({ ...w, gapMs: Math.max(w.gapMs, now[i]?.gapMs ?? 0), ended: now[i]?.ended ?? w.ended }))
    }
    await until(async () => {
      const now = await this.beats()
      add(now)
      if (now.some(b => b.ended === '' && b.gapMs > 50)) calmSince = performance.now()
      return performance.now() - calmSince > calm
    }, 'the connections are echoed again')
    return worst
  }
}

await isolated(async dir => {
  const side = await terwaySide(dir, count)
  const names = Array.from({ length: count }, (_, i) => `pod-${i}`)
  const uids = await side.cluster.createPods(names, side.nodeName)
  const pods = names.map((name, sandbox): BenchPod => ({ name, uid: uids[sandbox] ?? '', sandbox }))
  for (const pod of pods) await side.runner.one(side.job('ADD', pod))
  const hearts = new Hearts(pods.map(pod => side.netns(pod)))
  await hearts.started()
  const address = (i: number) => /inet ([\d.]+)/.exec(run(`ip -n terway-${i} -o addr show eth0`))?.[1] ?? ''
  const gaps = new Map<string, number[]>()
  const note = (figure: string, ms: number) => gaps.set(figure, [...(gaps.get(figure) ?? []), ms])
  const dead = new Set<number>()
  let broken = 0
  for (let round = 0; round < rounds; round++) {
    let bystanders = 0
    for (const [n, { id, command, wholeEni }] of damages.entries()) {
      const victim = (round + n) % count
      const ip = address(victim)
      const device = /dev (cali\w+)/.exec(run(`ip route get ${ip}`))?.[1] ?? ''
      const tableOf = (pod: number) => /lookup (\d+)/.exec(run(`ip rule list from ${address(pod)}`))?.[1] ?? ''
      const table = tableOf(victim)
      const suffers = (pod: number) => pod === victim || (wholeEni === true && tables[pod] === table)
      const tables = pods.map((_, pod) => tableOf(pod))
      const before = stateOf()
      await hearts.recovered()
      run(command(ip, device, table))
      await until(() => stateOf() === before, `terwayd repairs ${id}`)
      const noticed = (await hearts.recovered()).map((b, pod) => ({ ...b, pod })).filter(b => !dead.has(b.pod))
      for (const b of noticed) {
        if (b.ended !== '') dead.add(b.pod)
        if (b.ended !== '' || b.gapMs > tooLong) broken++
        if (!suffers(b.pod)) bystanders = Math.max(bystanders, b.gapMs)
      }
      note(`repair.gap.${id}.ms`, Math.max(0, ...noticed.filter(b => suffers(b.pod)).map(b => b.gapMs)))
    }
    note('repair.gap.undamaged.ms', bystanders)
    console.log(`repair: round ${round + 1} of ${rounds}`)
  }
  writeRows('repair', [row('repair.broken', [broken]), ...[...gaps].map(([figure, perRound]) => row(figure, perRound))])
})
