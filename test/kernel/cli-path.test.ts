// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { CliDeps } from '#cli/deps.ts'
import { type PathWish, path } from '#cli/path.ts'
import { probeBy } from '#cli/probe.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { openEvents } from '#kernel/bpf/ring.ts'
import { enforce } from '#kernel/bpf/words.ts'
import { applyAll } from '#kernel/host.ts'
import type { Kernel } from '#kernel/port.ts'
import { entryOp } from './bpf-services.ts'
import { DatapathLab, hostIp4, internet4, netnsFile, port } from './datapath-lab.ts'
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

/** The pod's policy: nothing that it sends is allowed, or everything. */
async function forbidden(what: number): Promise<void> {
  const [number = 0] = (await lab.kernel.mapEntries('addresses')).flatMap(e => {
    return maps.addresses.key.decode(e.key).ip === '10.0.1.11' ? [maps.addresses.value.decode(e.value).endpoint] : []
  })
  const value = { policy: 7, revision: 1 + what, enforce: what }
  await applyAll(lab.kernel, [entryOp('endpoint_policies', { ifIndex: number }, value)])
}

/** What the command prints, with these options. */
async function said(destination: string, more: Partial<PathWish> & { readonly tries?: boolean } = {}): Promise<string> {
  const { tries = true, ...wish } = more
  const lines: string[] = []
  const { kernel } = lab
  const own: Partial<Kernel> = {
    mapEntries: map => kernel.mapEntries(map),
    observe: q => kernel.observe(q),
    apply: ops => kernel.apply(ops),
    close: async () => undefined,
  }
  const entry = (n: number, eni: number) => ({
    ipv4: `10.0.${eni}.${n}`,
    ipv6: `fd00:${eni}::${n}`,
    pod_namespace: 'shop',
    pod_name: `p${n}`,
  })
  const daemon = { mapping: async () => ({ resource_db: [entry(11, 1), entry(12, 2)] }), close: () => undefined }
  const frontends = (...addresses: string[]) => addresses.map(address => ({ address, kind: 'ClusterIP' }))
  const web = ['10.96.0.10', '[fd00:96::10]'].flatMap(ip => [`${ip}:${port}/TCP`, `${ip}:${port}/UDP`])
  const services = [
    { namespace: 'shop', name: 'web', frontends: frontends(...web) },
    { namespace: 'shop', name: 'empty', frontends: frontends(`10.96.0.14:${port}/TCP`) },
  ]
  const cluster = {
    findPod: async (_: string, name: string) =>
      name === 'far' ? { phase: 'Running', hostNetwork: false, nodeName: 'other', ips: [internet4] } : undefined,
    findService: async () => undefined,
    findNode: async (name: string) => (name === 'cn-a.10.0.0.5' ? [hostIp4] : undefined),
  }
  const deps = {
    ...cluster,
    out: (l: string) => lines.push(l),
    connect: () => daemon,
    kernel: async () => own,
    events: async () => openEvents(lab.places.pins),
    policy: async () => ({ services }),
  }
  await path(deps as unknown as CliDeps, 's', { pod: 'shop/p11', destination, probe: tries ? probe : undefined, ...wish }, 'text')
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
    assert.match(text, /its packets, as the programs told of them: podToPod at podIn \d/)
    assert.match(text, /counted meanwhile.* podToPod \d/s)
    const later = await said(destination, { tries: false })
    assert.ok(later.includes(`to shop/p12 ${backend}: `) && !later.includes('tried'), later)
  }
})

test('out of the node, and to the node itself', async () => {
  assert.match(await said(`${internet4}:${port}`), /to 198\.51\.100\.1:\d+: past the host stack, out by eth1\n.*podToRemote \d/s)
  assert.match(await said(`${hostIp4}:${port}`), /through the host stack: an address of this node.*podToHost \d/s)
})

test('pods, Services and nodes by their names', async () => {
  assert.match(await said(`shop/p12:${port}`), /-> 10\.0\.2\.12:7777 \(TCP, named shop\/p12:7777\).*connected.*directly into the pod/s)
  assert.match(await said('svc/shop/web'), /-> 10\.96\.0\.10:7777 \(TCP, named svc\/shop\/web\).*translated: Service shop\/web/s)
  assert.match(await said('web.shop.svc.cluster.local', { ipv6: true }), /-> \[fd00:96::10\]:7777 .*to shop\/p12 \[fd00:2::12\]/s)
  assert.match(await said(`shop/far:${port}`), /-> 198\.51\.100\.1:7777.*past the host stack, out by eth1/s)
  for (const name of ['cn-a.10.0.0.5', 'node/cn-a.10.0.0.5']) assert.match(await said(`${name}:${port}`), /an address of this node/)
  await assert.rejects(said('shop/none:80'), { code: 'no-destination', message: /no pod shop\/none \(a Service is svc\/shop\/none/ })
  await assert.rejects(said('none.shop:80'), { message: /nobody knows a Service shop\/none, nor a node none\.shop/ })
  await assert.rejects(said(internet4, { pod: 'shop/far' }), {
    code: 'no-pod',
    message: /is on node other; ask.*terway-cli path shop\/far/s,
  })
})

test('UDP: who answers, who refuses, who is silent, and what is dropped', async () => {
  for (const destination of [`udp://10.96.0.10:${port}`, `udp://[fd00:96::10]:${port}`]) {
    const text = await said(destination)
    assert.match(text, /tried from port \d+: answered after .*to shop\/p12 .*directly into the pod/s)
    assert.match(text, /its packets.*: podToPod at podIn \d\n/)
  }
  assert.match(await said(`udp://10.0.2.12:${port + 1}`), /: ECONNREFUSED after/)
  assert.match(
    await said('udp://198.51.100.9:9'),
    /no answer.*its packets.*podToRemote at podIn 3.*not dropped by this node: sent out by eth1/s,
  )
  await forbidden(enforce.out)
  assert.match(
    await said(`udp://${internet4}:9`),
    /no answer.*: dropped for policy-egress at podIn 1.*dropped by this node: policy-egress at podIn, on/s,
  )
  await forbidden(0)
})

test('echo requests', async () => {
  for (const destination of ['icmp://10.0.2.12', 'icmp://fd00:2::12']) {
    const text = await said(destination)
    assert.match(text, /\(ICMP\)\n.*tried with identifier \d+: answered after .*to shop\/p12 .*directly into the pod/s)
    assert.match(text, /its packets.*: podToPod at podIn \d\n/)
  }
  lab.addNetns('bare')
  const { outcome } = await probe(netnsFile(`${lab.prefix}-bare`), { protocol: 'icmp', address: internet4, port: 0 })
  assert.equal(outcome, 'ENETUNREACH')
  const silent = await said('198.51.100.9', { protocol: 'icmp' })
  assert.match(silent, /no answer.*its packets.*podToRemote at podIn 3.*not dropped by this node: sent out by eth1/s)
})

test('a Service without backends, and what nothing is known of', async () => {
  assert.match(
    await said(`10.96.0.14:${port}`),
    /: ECONNREFUSED after .*Service shop\/empty.*no backend was chosen.*refused by this node: service-without-backend at podIn/s,
  )
  assert.match(await said('203.0.114.9', { tries: false }), /no flow is known: nothing was sent there lately/s)
  await assert.rejects(said('203.0.114.9'), {
    code: 'bad-argument',
    message: /--probe over TCP needs a port, as 203\.0\.114\.9:80; --protocol icmp needs none$/,
  })
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
