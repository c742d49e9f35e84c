// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { capabilitiesPath, parseCapabilities } from '#config/capabilities.ts'
import { datapathLabel } from '#config/datapath-choice.ts'
import { switchPath } from '#config/datapath-switch.ts'
import { parseRemembered } from '#daemon/datapath-memory.ts'
import { defaultOptions } from '#daemon/deps.ts'
import type { NodeDatapath } from '#datapath/port.ts'
import { nodes } from '#kube/reflect/node.ts'
import { AppError } from '#lib/errors.ts'
import { parseIp } from '#net/ip.ts'
import type { TestNode } from './node.ts'
import { World } from './world.ts'

const mounted = '/etc/eni/10-terway.conflist'
const runtimes = '/host-etc-net.d/10-terway.conflist'
const listOf = (...plugins: object[]) => JSON.stringify({ cniVersion: '0.4.0', name: 'terway-chainer', plugins })
const lacking = [{ feature: 'clsact-blocks', ok: false, explanation: 'EOPNOTSUPP' }] as const

/** What the engine is told where pods have sent by the host stack. */
const learning = { kind: 'v2', hostStackCidrs: [], serviceCidrs: ['10.96.0.0/12'], learn: true }

/** A node with pods in regular mode. */
async function world(): Promise<{ w: World; node: TestNode }> {
  const w = await World.make()
  w.configure({ service_cidr: '10.96.0.0/12' })
  const node = await w.oneNode()
  node.add('pod-1', 'pod-2')
  await w.atRest()
  assert.equal(node.kernel.node.kind, 'veth')
  return { w, node }
}

function label(w: World, value: string | undefined): void {
  const node = w.api.read(nodes, 'node-1')
  assert.ok(node)
  const { [datapathLabel]: _, ...labels } = node.metadata.labels ?? {}
  w.api.put(nodes, {
    ...node,
    metadata: { ...node.metadata, labels: value === undefined ? labels : { ...labels, [datapathLabel]: value } },
  })
}

const becomes = (w: World, node: TestNode, kind: 'veth' | 'v2') =>
  w.until(`the node forwards by ${kind}`, () => node.kernel.node.kind === kind)
const present = (node: TestNode): NodeDatapath => node.kernel.node
const told = (w: World, reason: string) => w.api.events.filter(e => e.reason === reason).map(e => e.message)
const typeOf = (node: TestNode) => JSON.parse(node.files.get(runtimes) ?? '{}').plugins?.[0].eniip_virtual_type

test('a running node follows its label, and a person on it comes before the label', async () => {
  const { w, node } = await world()
  await using _ = w
  label(w, 'datapathv2')
  await becomes(w, node, 'v2')
  assert.deepEqual(node.kernel.node, learning)
  await w.until('everybody is told', () => typeOf(node) === 'datapathv2' && w.cr('node-1')?.spec.datapath?.type === 'datapathv2')
  assert.equal(told(w, 'DataPathSwitched').length, 1)
  assert.match(told(w, 'DataPathSwitched')[0] ?? '', /^from veth to v2 with 2 pods: node label/)
  assert.equal(parseCapabilities(node.files.get(capabilitiesPath) ?? '').get('has_cilium_chainer'), 'true')

  node.files.set(switchPath, 'veth\n')
  await becomes(w, node, 'veth')
  node.files.set(switchPath, '')
  await becomes(w, node, 'v2')
  label(w, undefined)
  await becomes(w, node, 'veth')
  await w.until('everybody is told', () => typeOf(node) === 'veth' && w.cr('node-1')?.spec.datapath?.type === 'veth')
  assert.deepEqual(told(w, 'ConfigCheck'), [])
})

test('the mounted configuration: datapathv2, its host_stack_cidrs, and cilium-cni that is left out', async () => {
  const { w, node } = await world()
  await using _ = w
  const terway = { type: 'terway', eniip_virtual_type: 'DataPathV2', host_stack_cidrs: ['169.254.20.10/32'] }
  node.files.set(mounted, listOf(terway, { type: 'cilium-cni' }))
  await becomes(w, node, 'v2')
  assert.deepEqual(node.kernel.node.kind === 'v2' && node.kernel.node.hostStackCidrs, ['169.254.20.10/32'])
  await w.until('it is told', () => told(w, 'CniPluginDropped').length === 1)
  await w.until('the runtime has the list', () => typeOf(node) === 'datapathv2')
  assert.doesNotMatch(node.files.get(runtimes) ?? '', /cilium/)
})

test('a restart changes nothing, says nothing again, and needs no API server for it', async () => {
  const { w, node } = await world()
  await using _ = w
  label(w, 'datapathv2')
  await becomes(w, node, 'v2')
  await w.atRest()
  await node.stop()
  const before = w.api.events.length
  const calls: string[] = []
  node.kernel.fault = (call, subject) => void (call === 'setNode' && calls.push(subject))
  w.api.faults.unavailable(true)
  node.kernel.node = { kind: 'veth' }
  await node.start()
  await becomes(w, node, 'v2')
  assert.deepEqual(present(node), { kind: 'v2', hostStackCidrs: [], serviceCidrs: ['10.96.0.0/12'], learn: false })
  w.api.faults.unavailable(false)
  await w.atRest()
  await w.clock.advance(30_000)
  assert.deepEqual(calls, ['v2'])
  assert.deepEqual(
    w.api.events.slice(before).filter(e => e.reason.startsWith('DataPath')),
    [],
  )
})

/** Subjects of the calls of setNode from now on. */
function switches(node: TestNode): readonly string[] {
  const calls: string[] = []
  node.kernel.fault = (call, subject) => void (call === 'setNode' && calls.push(subject))
  return calls
}

/** A node with pods and DataPath V2. */
async function programmed(): Promise<{ w: World; node: TestNode }> {
  const { w, node } = await world()
  label(w, 'datapathv2')
  await becomes(w, node, 'v2')
  await w.atRest()
  return { w, node }
}

const memory = (node: TestNode) => parseRemembered(node.files.get(defaultOptions.datapathMemoryPath))
const isOn = (w: World, node: TestNode) => w.until('packets go past the host stack', () => (node.kernel.mode ?? 0) !== 0)

test('off is the mode and nothing else, repair and restart keep it so; on learns what pods began meanwhile', async () => {
  const { w, node } = await programmed()
  await using _ = w
  const calls = switches(node)
  node.files.set(switchPath, 'off\n')
  await w.until('it is off', () => node.kernel.mode === 0)
  await w.until('it is told', () => told(w, 'DataPathOff').length === 1)
  await w.clock.advance(120_000)
  await node.stop()
  await node.start()
  await w.atRest()
  await w.clock.advance(120_000)
  assert.deepEqual([node.kernel.mode, calls, typeOf(node), told(w, 'DataPathOff').length], [0, [], 'datapathv2', 1])
  node.files.set(switchPath, '')
  await isOn(w, node)
  await w.until('it is told', () => told(w, 'DataPathOn').length === 1)
  assert.deepEqual([calls, present(node)], [['v2'], learning])
})

test('off and on between two looks', async () => {
  const { w, node } = await programmed()
  await using _ = w
  node.kernel.mode = 0
  await isOn(w, node)
  assert.deepEqual([told(w, 'DataPathOff'), told(w, 'DataPathOn')], [[], []])
})

test('off is followed while the choice, or the CNI configuration, cannot be taken', async () => {
  const { w, node } = await programmed()
  await using _ = w
  for (const spoil of [() => label(w, 'ebpf'), () => node.files.set(mounted, 'no list')]) {
    spoil()
    node.files.set(switchPath, 'off\n')
    await w.until('it is off', () => node.kernel.mode === 0)
    node.files.set(switchPath, '')
    await isOn(w, node)
  }
})

test('what was switched off while the daemon was away stays off, also while the API server is away', async () => {
  const { w, node } = await programmed()
  await using _ = w
  await node.stop()
  const calls = switches(node)
  node.files.set(switchPath, 'off\n')
  w.api.faults.unavailable(true)
  await node.start()
  await w.until('it is off', () => node.kernel.mode === 0)
  w.api.faults.unavailable(false)
  await w.atRest()
  assert.deepEqual([calls, node.kernel.mode], [[], 0])
})

test('killed in a switch to V2: the next daemon takes it up without the API server, or follows the opposite label', async () => {
  for (const next of ['datapathv2', 'veth']) {
    const { w, node } = await world()
    await using _ = w
    let begun = ''
    node.kernel.fault = call => {
      if (call !== 'setNode') return
      begun ||= node.files.get(defaultOptions.datapathMemoryPath) ?? ''
      // The programs are loaded, and no packet goes past the host stack yet.
      node.kernel.mode = 0
      throw new AppError('kernel-refused', 'the process is killed here')
    }
    label(w, 'datapathv2')
    await w.until('it is under way', () => begun !== '')
    await node.stop()
    assert.deepEqual([parseRemembered(begun)?.goal.kind, parseRemembered(begun)?.from], ['v2', 'veth'])
    node.files.set(defaultOptions.datapathMemoryPath, begun)
    node.kernel.fault = () => {}
    if (next === 'datapathv2') w.api.faults.unavailable(true)
    else label(w, next)
    await node.start()
    if (next === 'datapathv2') {
      await becomes(w, node, 'v2')
      assert.deepEqual(present(node), learning)
      w.api.faults.unavailable(false)
      await w.until('it is told', () => told(w, 'DataPathSwitched').length === 1)
      assert.equal(memory(node)?.from, undefined)
    } else {
      await w.until('nothing of it is left', () => node.kernel.node.kind === 'veth' && node.kernel.mode === undefined)
      await w.until('it is remembered', () => memory(node)?.goal.kind === 'veth')
    }
  }
})

test('a switch back that failed half way, followed by the opposite label: the programs go on', async () => {
  const { w, node } = await programmed()
  await using _ = w
  node.kernel.fault = (call, kind) => {
    if (call !== 'setNode' || kind !== 'veth') return
    // As the engine does it: first the mode.
    node.kernel.mode = 0
    throw new AppError('kernel-refused', 'unloadPrograms: EROFS')
  }
  label(w, 'veth')
  await w.until('it is told', () => told(w, 'DataPathSwitchFailed').length === 1)
  label(w, 'datapathv2')
  await isOn(w, node)
  assert.equal(memory(node)?.goal.kind, 'v2')
})

test('a label that changes while the node switches is followed after it', async () => {
  const { w, node } = await world()
  await using _ = w
  node.kernel.fault = (call, kind) => void (call === 'setNode' && kind === 'v2' && label(w, 'veth'))
  const kinds: string[] = []
  const switched = w.until('both are done', () => told(w, 'DataPathSwitched').length === 2)
  label(w, 'datapathv2')
  await switched
  kinds.push(...told(w, 'DataPathSwitched').map(m => m.replace(/ with.*/, '')))
  assert.deepEqual([kinds, node.kernel.node.kind], [['from veth to v2', 'from v2 to veth'], 'veth'])
})

test('stopped in a switch: nothing is told of it, and the next daemon makes it', async () => {
  const { w, node } = await world()
  await using _ = w
  let isUnderWay = false
  node.kernel.fault = call => {
    if (call !== 'setNode') return
    isUnderWay = true
    void node.stop()
    throw new AppError('kernel-worker', 'the thread has ended')
  }
  label(w, 'datapathv2')
  await w.until('it is under way', () => isUnderWay)
  await w.clock.advance(120_000)
  assert.deepEqual([told(w, 'DataPathSwitchFailed'), told(w, 'DataPathUnsupported'), node.kernel.node.kind], [[], [], 'veth'])
  node.kernel.fault = () => {}
  await node.start()
  await becomes(w, node, 'v2')
  await w.until('it is told', () => told(w, 'DataPathSwitched').length === 1)
})

test('a kernel that cannot be asked is said, and what was reached is said again afterwards', async () => {
  const { w, node } = await programmed()
  await using _ = w
  node.modeFault = 'EACCES'
  await w.until('it is said', () => /^the programs cannot be looked at: EACCES/.test(node.trace().datapath ?? ''))
  node.modeFault = ''
  await w.until('it is over', () => /^v2: node label/.test(node.trace().datapath ?? ''))
})

test('a kernel without what is needed: regular mode, and each missing thing is named with its way out', async () => {
  const { w, node } = await world()
  await using _ = w
  node.probes = lacking
  label(w, 'datapathv2')
  await w.until('it is told', () => told(w, 'DataPathUnsupported').length === 1)
  assert.match(
    told(w, 'DataPathUnsupported')[0] ?? '',
    /stays in regular mode: the kernel lacks clsact-blocks: EOPNOTSUPP \(needs: Linux 5\.10/,
  )
  assert.equal(node.kernel.node.kind, 'veth')
  assert.equal(parseCapabilities(node.files.get(capabilitiesPath) ?? '').get('datapath_by'), 'probe')
  await w.clock.advance(300_000)
  assert.equal(told(w, 'DataPathUnsupported').length, 1)
  await node.stop()
  node.probes = []
  await node.start()
  await becomes(w, node, 'v2')
})

test('without a network of Services V2 is refused by name, and taken once it is known', async () => {
  const { w, node } = await world()
  await using _ = w
  w.configure({})
  label(w, 'datapathv2')
  await w.until('it is told', () =>
    told(w, 'DataPathUnsupported').some(m => /IPv4 network of Services is not known \(set service_cidr/.test(m)),
  )
  assert.equal(node.kernel.node.kind, 'veth')
  // Traffic between pods would be dropped as that to Services which nobody has.
  w.configure({ service_cidr: '10.0.0.0/8' })
  await w.until('it is told', () => told(w, 'DataPathUnsupported').some(m => /network of Services 10\.0\.0\.0\/8 .* contains 10\./.test(m)))
  assert.equal(node.kernel.node.kind, 'veth')
  w.configure({ service_cidr: '10.96.0.0/12' })
  await becomes(w, node, 'v2')
})

test('a switch that fails leaves the node as it was, says why once, and is tried again', async () => {
  const { w, node } = await world()
  await using _ = w
  node.kernel.fault = (call, kind) => {
    if (call === 'setNode' && kind === 'v2') throw new AppError('kernel-refused', 'prog-load pod_in: EACCES, invalid access to packet')
  }
  label(w, 'datapathv2')
  await w.until('it is told', () => told(w, 'DataPathSwitchFailed').length === 1)
  assert.match(told(w, 'DataPathSwitchFailed')[0] ?? '', /the node stays as it was: prog-load pod_in: EACCES/)
  assert.equal(node.kernel.node.kind, 'veth')
  assert.equal(typeOf(node), 'veth')
  node.add('pod-3')
  await w.atRest()
  await w.clock.advance(300_000)
  assert.equal(told(w, 'DataPathSwitchFailed').length, 1)
  node.kernel.fault = () => {}
  await becomes(w, node, 'v2')
})

test('a label that nobody knows is refused by name, and the node stays', async () => {
  const { w, node } = await world()
  await using _ = w
  label(w, 'datapathv2')
  await becomes(w, node, 'v2')
  label(w, 'ebpf')
  await w.until('it is told', () => w.warnings('node-1').some(m => /ConfigError: node label k8s.aliyun.com\/datapath is "ebpf"/.test(m)))
  assert.equal(node.kernel.node.kind, 'v2')
})

test('the capability file keeps what is not ours; one that cannot be read is told and written anew', async () => {
  const { w, node } = await world()
  await using _ = w
  node.files.set(capabilitiesPath, 'erdma = true\ndatapath = veth\n')
  label(w, 'datapathv2')
  await becomes(w, node, 'v2')
  const read = () => parseCapabilities(node.files.get(capabilitiesPath) ?? '')
  assert.deepEqual([read().get('erdma'), read().get('datapath'), read().get('cni_ipv6_stack')], ['true', 'datapathv2', 'false'])
  node.files.set(capabilitiesPath, 'nonsense\n')
  label(w, 'veth')
  await becomes(w, node, 'veth')
  await w.until('it is told', () => w.warnings('node-1').some(m => /^ParseFailed: \/var\/run\/eni\/node_capabilities: line 1/.test(m)))
  assert.equal(read().get('datapath'), 'veth')
})

test('a pod whose device somebody else has taken is told of, once, and goes on', async () => {
  const { w, node } = await world()
  await using _ = w
  const ip = node.pods.get('pod-1')?.ip ?? ''
  node.leftToHostStack = [parseIp(ip)]
  await w.clock.advance(120_000)
  assert.deepEqual(told(w, 'DataPathForeign'), [], 'not on a regular node')
  label(w, 'datapathv2')
  await w.until('it is told', () => told(w, 'DataPathForeign').length === 1)
  assert.deepEqual(
    w.api.events.filter(e => e.reason === 'DataPathForeign').map(e => [e.about.kind, e.about.name, e.type]),
    [['Pod', 'pod-1', 'Warning']],
  )
  await w.clock.advance(120_000)
  assert.equal(told(w, 'DataPathForeign').length, 1)
})
