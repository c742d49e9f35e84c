// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { capabilitiesPath, parseCapabilities } from '#config/capabilities.ts'
import { switchPath } from '#config/datapath-switch.ts'
import { mode } from '#kernel/bpf/words.ts'
import type { TestNode } from './node.ts'
import { World } from './world.ts'

const kubeProxy = { service_cidr: '10.96.0.0/12' }
const ours = { ...kubeProxy, kube_proxy_replacement: true }
const services = { natPortFirst: 61000, natPortLast: 65535 }

/** A node with pods in regular mode. */
async function world(conf: Parameters<World['configure']>[0]): Promise<{ w: World; node: TestNode }> {
  const w = await World.make()
  w.configure(conf)
  const node = await w.oneNode()
  node.add('pod-1', 'pod-2')
  await w.atRest()
  return { w, node }
}

const becomes = (w: World, node: TestNode, kind: TestNode['kernel']['node']['kind']) =>
  w.until(`the node becomes ${kind}`, () => node.kernel.node.kind === kind)
const capability = (node: TestNode) => parseCapabilities(node.files.get(capabilitiesPath) ?? '').get('kube_proxy_replacement')
const told = (w: World, reason: string) => w.api.events.filter(e => e.reason === reason).map(e => e.message)
const servicesOf = ({ kernel: { node } }: TestNode) => (node.kind === 'veth' ? undefined : node.services)

test('a regular node whose pods are there takes Services over from kube-proxy, and gives them back', async () => {
  const { w, node } = await world(kubeProxy)
  await using _ = w
  assert.deepEqual([node.kernel.node.kind, capability(node)], ['veth', undefined])
  w.configure({ ...ours, nat_port_range: '40000-49999', conntrack_entries: 65536, conntrack_entries_per_pod: 500 })
  await becomes(w, node, 'services')
  assert.deepEqual(node.kernel.node, {
    kind: 'services',
    hostStackCidrs: [],
    serviceCidrs: ['10.96.0.0/12'],
    learn: true,
    services: { natPortFirst: 40000, natPortLast: 49999 },
    flowEntries: 65536,
    flowLimit: 500,
  })
  await w.until('it is told', () => told(w, 'DataPathServices').length === 1 && capability(node) === 'true')
  w.configure({ ...kubeProxy, kube_proxy_replacement: false })
  await becomes(w, node, 'veth')
  await w.until('it is told', () => told(w, 'DataPathServices').length === 2 && capability(node) === 'false')
})

test('how backends are chosen is told to terway-policy, and follows the configuration', async () => {
  const { w, node } = await world(ours)
  await using _ = w
  const algorithm = () => parseCapabilities(node.files.get(capabilitiesPath) ?? '').get('service_algorithm')
  await becomes(w, node, 'services')
  await w.atRest()
  assert.equal(algorithm(), undefined)
  w.configure({ ...ours, service_algorithm: 'maglev' })
  await w.until('it is told', () => algorithm() === 'maglev')
  w.configure(ours)
  await w.until('it is told', () => algorithm() === 'random')
  assert.equal(told(w, 'DataPathServices').length, 1)
})

test('what the node has decided stands while the configuration says nothing', async () => {
  const { w, node } = await world(kubeProxy)
  await using _ = w
  node.files.set(capabilitiesPath, 'kube_proxy_replacement = true\n')
  await becomes(w, node, 'services')
  assert.deepEqual(servicesOf(node), services)
})

test('with Services a node switches between its ways of forwarding, off and on', async () => {
  const { w, node } = await world(ours)
  await using _ = w
  await becomes(w, node, 'services')
  node.files.set(switchPath, 'v2\n')
  await becomes(w, node, 'v2')
  assert.deepEqual(servicesOf(node), services)
  node.files.set(switchPath, 'v2\noff\n')
  await becomes(w, node, 'services')
  assert.equal(node.kernel.mode, mode.service)
  await w.until('it is told', () => told(w, 'DataPathOff').length === 1)
  await node.stop()
  await node.start()
  await w.atRest()
  assert.deepEqual([node.kernel.node.kind, node.kernel.mode], ['services', mode.service])
  node.files.set(switchPath, 'v2\n')
  await becomes(w, node, 'v2')
  node.files.set(switchPath, 'veth\n')
  await becomes(w, node, 'services')
})

test('a restart goes on without an API server', async () => {
  const { w, node } = await world(ours)
  await using _ = w
  await becomes(w, node, 'services')
  await w.atRest()
  await node.stop()
  node.kernel.node = { kind: 'veth' }
  w.api.faults.unavailable(true)
  await node.start()
  await becomes(w, node, 'services')
  assert.deepEqual(node.kernel.node, { kind: 'services', hostStackCidrs: [], serviceCidrs: ['10.96.0.0/12'], learn: false, services })
})

test('a kernel that lacks what programs need leaves Services to kube-proxy; one without programs for sockets serves pods alone', async () => {
  const { w, node } = await world(kubeProxy)
  await using _ = w
  node.probes = [{ feature: 'clsact-blocks', ok: false, explanation: 'EOPNOTSUPP' }]
  w.configure(ours)
  await w.until('it is told', () => told(w, 'DataPathUnsupported').length === 1)
  assert.match(
    told(w, 'DataPathUnsupported')[0] ?? '',
    /^Services without kube-proxy are asked for, the node .* needs kube-proxy: .*clsact-blocks/,
  )
  assert.deepEqual([node.kernel.node.kind, capability(node)], ['veth', undefined])
  node.probes = [{ feature: 'socket-programs', ok: false, explanation: 'EINVAL' }]
  w.configure({ ...ours, nat_port_range: '40000-49999' })
  await becomes(w, node, 'services')
  assert.match(told(w, 'ServicesLimited')[0] ?? '', /pods can: the kernel lacks socket-programs/)
})

test("somebody else's qdisc on the node's own device is told, once", async () => {
  const { w, node } = await world(ours)
  await using _ = w
  await becomes(w, node, 'services')
  node.takenDevice = 'eth0'
  await w.until('it is told', () => told(w, 'DataPathForeign').length === 1)
  assert.match(told(w, 'DataPathForeign')[0] ?? '', /^the node's device eth0 has an ingress or clsact qdisc of somebody else/)
  await w.clock.advance(120_000)
  assert.equal(told(w, 'DataPathForeign').length, 1)
})
