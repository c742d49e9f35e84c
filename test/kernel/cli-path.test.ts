// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { CliDeps } from '#cli/deps.ts'
import { path } from '#cli/path.ts'
import { probeBy } from '#cli/probe.ts'
import type { Kernel } from '#kernel/port.ts'
import { DatapathLab, hostIp4, internet4, port } from './datapath-lab.ts'
import { nodes, putServices } from './datapath-services.ts'

/** `terway-cli path --probe` says which way real connections take, on both kinds of nodes. */
let lab: DatapathLab
const probe = probeBy(join(import.meta.dirname, '../../src/cli/main.ts'))
before(async () => {
  lab = await DatapathLab.create('path', { v2: true })
  await lab.datapath.setNode(nodes.v2, [])
  await putServices(lab.kernel, [
    { name: 'web', ips: ['10.96.0.10', 'fd00:96::10'], backends: ['10.0.2.12', 'fd00:2::12'], local: true },
    { name: 'empty', ips: ['10.96.0.14'] },
  ])
  await lab.datapath.setup(lab.pod(11, { eni: 1, families: [4, 6] }))
  await lab.datapath.setup(lab.pod(12, { eni: 2, families: [4, 6] }))
  for (const ns of ['gw1', 'pod12', 'host']) await lab.probe(ns)
})
after(() => lab.close())

async function said(destination: string, tries = true): Promise<string> {
  const lines: string[] = []
  const { kernel } = lab
  const own: Partial<Kernel> = { mapEntries: map => kernel.mapEntries(map), observe: q => kernel.observe(q), close: async () => undefined }
  const entry = (n: number, eni: number) => ({
    ipv4: `10.0.${eni}.${n}`,
    ipv6: `fd00:${eni}::${n}`,
    pod_namespace: 'shop',
    pod_name: `p${n}`,
  })
  const daemon = { mapping: async () => ({ resource_db: [entry(11, 1), entry(12, 2)] }), close: () => undefined }
  const service = (name: string, address: string) => ({ namespace: 'shop', name, frontends: [{ address }] })
  const services = [service('web', `10.96.0.10:${port}`), service('web', `[fd00:96::10]:${port}`), service('empty', `10.96.0.14:${port}`)]
  const deps = { out: (l: string) => lines.push(l), connect: () => daemon, kernel: async () => own, policy: async () => ({ services }) }
  await path(deps as unknown as CliDeps, 's', { pod: 'shop/p11', destination, probe: tries ? probe : undefined }, 'text')
  return lines.join('\n')
}

test('to a Service, whose backend is a pod of the node', async () => {
  for (const [destination, backend] of [
    [`10.96.0.10:${port}`, `10.0.2.12:${port}`],
    [`[fd00:96::10]:${port}`, `[fd00:2::12]:${port}`],
  ] as const) {
    const text = await said(destination)
    assert.match(text, /tried from port \d+: connected after /s)
    assert.ok(text.includes(`translated: Service shop/web, ${destination}`), text)
    assert.ok(text.includes(`to shop/p12 ${backend}: past the host stack, directly into the pod`), text)
    assert.match(text, /counted meanwhile.* podToPod \d/s)
    const later = await said(destination, false)
    assert.ok(later.includes(`to shop/p12 ${backend}: `) && !later.includes('tried'), later)
  }
})

test('out of the node, and to the node itself', async () => {
  assert.match(await said(`${internet4}:${port}`), /to 198\.51\.100\.1:\d+: past the host stack, out by eth1\n.*podToRemote \d/s)
  assert.match(await said(`${hostIp4}:${port}`), /through the host stack: an address of this node.*podToHost \d/s)
})

test('a Service without backends, and what nothing is known of', async () => {
  assert.match(await said(`10.96.0.14:${port}`), /: ECONNREFUSED after .*Service shop\/empty.*service-without-backend 1/s)
  assert.match(await said('203.0.114.9', false), /no flow is known: nothing was sent there lately/s)
  await assert.rejects(said('203.0.114.9'), { code: 'bad-argument', message: '--probe needs a port: address:port' })
})

test('a node that forwards by its host stack: Services are translated, and the rest is its', async () => {
  await lab.datapath.setNode(nodes.regular, [])
  const text = await said(`10.96.0.10:${port}`)
  assert.match(text, /translated: Service shop\/web.*to shop\/p12 10\.0\.2\.12:\d+: through the host stack/s)
  await lab.datapath.setNode({ kind: 'veth' }, [])
  assert.match(
    await said(`${internet4}:${port}`),
    /connected.*into the host stack, which carries everything on this node \(no programs are loaded\)/s,
  )
})
