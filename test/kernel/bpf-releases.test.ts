// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { mapSizes } from '#datapath/v2/map-sizes.ts'
import { mapNames } from '#kernel/bpf/load.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { block, flowState, mode } from '#kernel/bpf/words.ts'
import { applyAll } from '#kernel/host.ts'
import { modeOp } from '#kernel/mode.ts'
import type { Kernel } from '#kernel/port.ts'
import { keptReleases, objectOf } from '../../tools/bpf-release.ts'
import { until } from '../support/until.ts'
import { pinRelease } from './bpf-release.ts'
import { DatapathLab, internet4, internet6, type Probe, v2 } from './datapath-lab.ts'
import { nodes, putServices } from './datapath-services.ts'

/**
 * A node goes from the last release to this tree, back, and forward again, while traffic goes on: the maps stay, and each reads what the other
 * wrote. What the last release's process does is done step by step here: the programs are its own, from test/bpf-releases.
 */

const release = keptReleases().at(-1) ?? assert.fail('no release is kept')
const { generation: old } = objectOf(release)
const forwarding = mode.guard | mode.forward | mode.policy
const [serviceIp, otherIp, lateIp] = ['10.96.0.10', '10.96.0.11', '10.96.0.12']
/** Not those of the release: its tables get another size while they are in use. */
const flowEntries = 65_536

let lab: DatapathLab
let pods: readonly SharedEniAttachment[]
let pod: Probe
let outside: Probe
before(async () => {
  lab = await DatapathLab.create('vr', { v2: true })
  pods = [lab.pod(11, { eni: 1, families: [4, 6] }), lab.pod(12, { eni: 2, families: [4, 6] })]
})
after(() => lab.close())

async function startAll(): Promise<void> {
  await lab.probe('pod12')
  outside = await lab.probe('gw1')
  pod = await lab.probe('pod11')
  const start = async (from: Probe, hosts: readonly string[]) => {
    for (const to of hosts) {
      assert.equal(await from.beat('tcp', to, 1), 'ok', `tcp ${to}`)
      assert.equal(await from.beat('udp', to, 20), 'ok', `udp ${to}`)
    }
  }
  await start(pod, ['10.0.2.12', 'fd00:2::12', internet4, internet6])
  await start(outside, ['10.0.1.11', 'fd00:1::11'])
  await allGoOn()
}

/** Every row, or each of these, has been answered something that was sent from now on. */
async function allGoOn(rows?: readonly string[]): Promise<void> {
  for (const probe of [pod, outside]) {
    const before = await probe.beats()
    await until(async () => {
      const now = Object.entries(await probe.beats())
      for (const [row, { ended }] of now) assert.equal(ended, '', row)
      return now.every(([row, { echoed }]) => rows?.includes(row) === false || echoed > (before[row]?.sent ?? 0))
    }, 'every row goes on')
  }
}

/** Established flows, as both know them. */
async function flows(): Promise<ReadonlyMap<string, { readonly ends: string; readonly packets: number }>> {
  const { key, value } = maps.flows
  return new Map(
    (await lab.kernel.mapEntries('flows')).flatMap(entry => {
      const { local, localPort, remote, remotePort, protocol } = key.decode(entry.key)
      const { state, way, flags, localIncarnation, peerIncarnation, peer, txPackets, rxPackets } = value.decode(entry.value)
      const ends = [state, way, flags, localIncarnation, peerIncarnation, peer].join(' ')
      const name = `${protocol} ${local} ${localPort} ${remote} ${remotePort}`
      return state === flowState.open ? [[name, { ends, packets: txPackets + rxPackets }]] : []
    }),
  )
}

/** After a change every flow that there was is still the same entry, which counts on, and no packet takes the host stack's way. */
async function untouchedBy(change: () => Promise<void>): Promise<void> {
  const earlier = await flows()
  assert.ok(earlier.size >= 16, 'twelve rows, four of them between pods that are both here')
  await change()
  await allGoOn()
  const there = await flows()
  for (const [flow, { ends }] of earlier) assert.equal(there.get(flow)?.ends, ends, flow)
  const forwarded = lab.forwarded()
  await until(async () => {
    const now = await flows()
    return [...there].every(([flow, { packets }]) => (now.get(flow)?.packets ?? 0) > packets)
  }, 'every flow counts on')
  assert.equal(lab.forwarded(), forwarded)
}

/** Everything that was sent was answered: a packet of TCP that was lost is sent again, one of UDP is not. */
async function nothingLost(): Promise<void> {
  for (const probe of [pod, outside]) {
    await probe.hush()
    await until(async () => Object.values(await probe.beats()).every(({ sent, echoed }) => sent === echoed), 'all is answered')
  }
}

function sentAgain(): number {
  const count = (ns: string) => Number(/TcpRetransSegs\s+(\d+)/.exec(lab.run(ns, 'nstat -asz TcpRetransSegs'))?.[1])
  return ['pod11', 'pod12', 'gw1'].reduce((sum, ns) => sum + count(ns), 0)
}

/** The filters of pods and ENIs, which are all that the release has. */
async function runRelease(kernel: Kernel): Promise<void> {
  await applyAll(
    kernel,
    (['pod_in', 'pod_out', 'eni_in'] as const).map(program => {
      const number = { pod_in: block.podIn, pod_out: block.podOut, eni_in: block.eniIn }[program]
      return { op: 'filter-set', ns: 'host', block: number, program, generation: old }
    }),
  )
}

function running(): string[] {
  return Object.values(block).flatMap(number => [...tcFilters(number).matchAll(/(\w+)\.[0-9a-f]{12}/g)].map(([name]) => name))
}

function tcFilters(number: number): string {
  try {
    return lab.run('host', `tc filter show block ${number}`)
  } catch {
    // No device joins it.
    return ''
  }
}

test('from the last release to this one, back, and forward again: each goes on with the flows of the other', async t => {
  await lab.afterRestart(async (datapath, kernel) => {
    kernel.loadPrograms = async () => pinRelease(release, lab.pinDirectory)
    await datapath.setNode(v2, [])
    for (const a of pods) await datapath.setup(a)
  })
  assert.deepEqual(
    running(),
    ['pod_in', 'pod_out', 'eni_in'].map(program => `${program}.${old}`),
  )
  assert.equal(await lab.mode(), forwarding)
  await startAll()

  const forward = async (missing: readonly string[]) =>
    lab.afterRestart(async (datapath, kernel) => {
      const { created, generation } = await kernel.loadPrograms(mapSizes(flowEntries))
      assert.deepEqual(created, missing)
      await putServices(kernel, [
        { name: 'remote', ips: [serviceIp], backends: [internet4] },
        ...[otherIp, lateIp].map(ip => ({ name: `of-${ip}`, ips: [ip], backends: [internet4] })),
      ])
      await datapath.setNode({ ...nodes.v2, flowEntries }, pods)
      assert.equal((await kernel.countEntries('flows')).room, flowEntries)
      assert.equal(await lab.mode(), forwarding | mode.service)
      assert.deepEqual(
        running(),
        ['pod_in', 'pod_out', 'eni_in', 'node_in', 'node_out'].map(program => `${program}.${generation}`),
      )
      const { sockets } = await kernel.observe([{ ns: 'host', links: [], families: [], sockets: true }]).then(([s]) => s ?? assert.fail())
      assert.ok(sockets.length > 0 && sockets.every(s => s.name.endsWith(generation)))
      assert.equal(await pod.call(serviceIp), 'gw1 10.0.1.11')
    })
  const atOnce = sentAgain()
  await untouchedBy(() => forward(mapNames.filter(name => release.maps[name] === undefined)))

  await untouchedBy(async () => {
    assert.deepEqual(pinRelease(release, lab.pinDirectory).created, [])
    await runRelease(lab.kernel)
    assert.equal(await lab.mode(), forwarding | mode.service, 'it forwards also with bits that it does not know')
  })
  await untouchedBy(() => applyAll(lab.kernel, [modeOp(forwarding)]))
  assert.equal(await pod.call(serviceIp, 300), 'timeout', "Services are nobody's")

  await untouchedBy(() => forward([]))
  t.diagnostic(`TCP segments sent again: ${sentAgain() - atOnce}`)
  await nothingLost()
})

/** The steps by which a node changes hands. `learn` as terwayd says it where pods are. */
const become = {
  thisTree: () => lab.afterRestart(datapath => datapath.setNode({ ...nodes.v2, flowEntries, learn: true }, pods)),
  /** Back to kube-proxy, by this tree's programs. */
  withoutServices: () => lab.afterRestart(datapath => datapath.setNode({ ...v2, flowEntries }, pods)),
  release: async () => {
    pinRelease(release, lab.pinDirectory)
    await runRelease(lab.kernel)
    await applyAll(lab.kernel, [modeOp(forwarding)])
  },
} as const

function startKubeProxy(): void {
  // On a node there is always somebody who needs conntrack, which goes with the last rule that does.
  lab.run('host', 'nft add table inet filter')
  lab.run('host', 'nft add chain inet filter forward { type filter hook forward priority 0 ; }')
  lab.run('host', 'nft add rule inet filter forward ct state established accept')
  lab.run('host', 'nft add table ip nat')
  lab.run('host', 'nft add chain ip nat before { type nat hook prerouting priority -100 ; }')
  for (const ip of [serviceIp, otherIp])
    for (const protocol of ['tcp', 'udp'])
      lab.run('host', `nft add rule ip nat before ip daddr ${ip} ${protocol} dport 7777-7779 dnat to ${internet4}`)
}

test('to a Service from one port for ever: answered whoever translates, in the order in which releases go', async () => {
  const mine = `udp ${serviceIp}`
  assert.equal(await pod.beat('udp', serviceIp, 20), 'ok')
  await allGoOn([mine])
  startKubeProxy()
  await become.withoutServices()
  await allGoOn([mine])
  await become.release()
  await allGoOn([mine])
  assert.equal(await pod.call(serviceIp), 'gw1 10.0.1.11')
})

test('what kube-proxy translates goes on when programs do again, and also when the rules of kube-proxy are gone', async () => {
  const rows = [`udp ${serviceIp}`, `udp ${otherIp}`, `tcp ${otherIp}`]
  for (const kind of ['tcp', 'udp'] as const) assert.equal(await pod.beat(kind, otherIp, 20), 'ok')
  await allGoOn(rows)
  await become.thisTree()
  await allGoOn(rows)
  lab.run('host', 'nft flush chain ip nat before')
  await applyAll(lab.kernel, [modeOp(forwarding | mode.service)])
  await allGoOn(rows)
  assert.equal(await pod.call(otherIp), 'gw1 10.0.1.11')
})

test('in the wrong order nobody answers datagrams, and somebody does when this release comes again', async () => {
  await become.release()
  assert.equal(await pod.beat('udp', lateIp, 20), 'ok')
  await until(async () => ((await pod.beats())[`udp ${lateIp}`]?.sent ?? 0) > 5, 'some were sent')
  assert.equal((await pod.beats())[`udp ${lateIp}`]?.echoed, 0)
  await become.thisTree()
  await until(async () => ((await pod.beats())[`udp ${lateIp}`]?.echoed ?? 0) > 20, 'they are answered')
})
