// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cluster } from '#daemon/cluster.ts'
import { CniConf } from '#daemon/cni-conf.ts'
import type { Facts } from '#daemon/context.ts'
import { defaultOptions } from '#daemon/deps.ts'
import { silent } from '#lib/log.ts'
import { KubeModel } from '../../test/support/kube-model.ts'
import { VirtualClock } from '../../test/support/virtual-clock.ts'

const mounted = '/etc/eni/10-terway.conf'
const list = '/host-etc-net.d/10-terway.conflist'
const conf = (change: object = {}) => JSON.stringify({ cniVersion: '0.4.0', name: 'terway', type: 'terway', ...change })

function world(files: Readonly<Record<string, string>>) {
  const clock = new VirtualClock()
  const model = new KubeModel(clock)
  const disk = new Map(Object.entries(files))
  const facts: Facts = {
    conf: undefined,
    plugin: undefined,
    eniMode: 'shared',
    datapath: { kind: 'veth', why: '', hasPrograms: false },
    readBack: 'pending',
    adopted: true,
    notReady: 'starting',
    trace: new Map(),
  }
  const said: string[] = []
  const stopping = new AbortController()
  const cni = new CniConf({
    facts,
    clock,
    stopping: stopping.signal,
    log: {
      ...silent,
      error: (_: object, text?: string) => said.push(text ?? ''),
      warn: (_: object, text?: string) => said.push(text ?? ''),
    },
    kube: model.client('terwayd'),
    cluster: new Cluster({ clock, log: silent }),
    options: { ...defaultOptions, nodeName: 'node-1' },
    host: {
      netns: () => 'live',
      list: () => [],
      read: path => disk.get(path),
      writeAtomically: (path, text) => void disk.set(path, text),
    },
  })
  let started = false
  cni.start().then(
    () => {
      started = true
    },
    () => {},
  )
  const mtu = () => JSON.parse(disk.get(list) ?? '{}').plugins?.[0].mtu
  return { clock, model, disk, facts, said, cni, stopping, started: () => started, mtu }
}

test('a changed configuration reaches the runtime while the daemon runs', async () => {
  const w = world({ [mounted]: conf() })
  await w.clock.advance(0)
  assert.equal(w.started(), true)
  w.disk.set(mounted, conf({ mtu: 1400 }))
  await w.clock.advance(10_000)
  assert.equal(w.mtu(), 1400)
  w.cni.stop()
  w.disk.set(mounted, conf({ mtu: 1300 }))
  await w.clock.advance(60_000)
  assert.equal(w.mtu(), 1400)
})

test('auto_mtu follows the device', async () => {
  const w = world({ [mounted]: conf({ auto_mtu: true }), '/sys/class/net/eth0/mtu': '8500\n' })
  await w.clock.advance(0)
  assert.equal(w.mtu(), 8500)
  w.disk.set('/sys/class/net/eth0/mtu', '1500\n')
  await w.clock.advance(10_000)
  assert.equal(w.mtu(), 1500)
})

test('a broken one is told once, the last good one stays, and the next good one is taken', async () => {
  const good = JSON.stringify({ plugins: [{ type: 'terway', mtu: 1400 }] })
  const w = world({ [mounted]: conf({ mtu: '1500' }), [list]: good })
  await w.clock.advance(60_000)
  assert.equal(w.started(), true)
  assert.equal(w.disk.get(list), good)
  assert.deepEqual(
    w.model.events.map(e => [e.about.kind, e.about.name, e.type, e.reason]),
    [['Node', 'node-1', 'Warning', 'ConfigError']],
  )
  assert.match(w.model.events[0]?.message ?? '', /10-terway\.conf: mtu is "1500"/)
  assert.equal(w.said.length, 1)
  assert.match(w.said[0] ?? '', /the last good one stays/)

  w.disk.set(mounted, conf({ mtu: 1300 }))
  await w.clock.advance(10_000)
  assert.equal(w.mtu(), 1300)
  w.disk.set(mounted, conf({ mtu: '1500' }))
  await w.clock.advance(10_000)
  assert.equal(w.model.events.length, 2, 'the same error after a good configuration is a new one')
})

test('without an earlier one the node is not ready, and says why, until there is a good one', async () => {
  const w = world({ [mounted]: '{' })
  await w.clock.advance(60_000)
  assert.equal(w.started(), false)
  assert.match(w.facts.notReady, /no CNI configuration: 10-terway\.conf is not JSON/)
  assert.equal(w.model.events.length, 1)
  w.disk.set(mounted, conf())
  await w.clock.advance(10_000)
  assert.equal(w.started(), true)
})

test('a list that somebody removed from the host is written again', async () => {
  const w = world({ [mounted]: conf() })
  await w.clock.advance(0)
  w.disk.delete(list)
  await w.clock.advance(10_000)
  assert.ok(w.disk.has(list))
})

test('a key that nobody knows is reported once', async () => {
  const w = world({ [mounted]: conf({ mtuu: 1500 }) })
  await w.clock.advance(60_000)
  assert.deepEqual(w.said, ['the CNI configuration has keys that nobody knows; they have no effect'])
})

test('the list waits until the datapath is chosen, says so, and follows it', async () => {
  const w = world({ [mounted]: conf() })
  w.facts.datapath = undefined
  w.disk.delete(list)
  await w.clock.advance(5_000)
  assert.match(w.facts.trace.get('CNI configuration') ?? '', /the datapath is not chosen/)
  w.facts.trace.set('choice of the datapath', 'good')
  w.facts.trace.set('datapath', 'the programs cannot be looked at: EACCES')
  await w.clock.advance(6_000)
  assert.match(w.facts.trace.get('CNI configuration') ?? '', /the datapath is not chosen: the programs cannot be looked at: EACCES/)
  w.facts.datapath = { kind: 'v2', why: '', hasPrograms: true }
  await w.clock.advance(10_000)
  assert.equal(JSON.parse(w.disk.get(list) ?? '{}').plugins[0].eniip_virtual_type, 'datapathv2')
})

test('a cilium-cni in the list is dropped, and told once', async () => {
  const plugins = [{ type: 'terway' }, { type: 'cilium-cni' }]
  const w = world({ '/etc/eni/10-terway.conflist': JSON.stringify({ cniVersion: '0.4.0', plugins }) })
  await w.clock.advance(60_000)
  assert.deepEqual(
    w.model.events.map(e => [e.type, e.reason]),
    [['Warning', 'CniPluginDropped']],
  )
  assert.doesNotMatch(w.disk.get(list) ?? '', /cilium/)
})
