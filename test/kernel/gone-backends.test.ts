// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { cutSockets } from '#datapath/v2/cut-sockets.ts'
import { attachSockets } from '#datapath/v2/sockets.ts'
import { mode } from '#kernel/bpf/words.ts'
import { modeOp } from '#kernel/mode.ts'
import { makePinnedMaps } from '#kernel/pinned-maps.ts'
import { endpointSlices } from '#kube/reflect/endpoint-slice.ts'
import { nodes } from '#kube/reflect/node.ts'
import { services } from '#kube/reflect/service.ts'
import { realClock } from '#lib/clock.ts'
import { silent } from '#lib/log.ts'
import { policyMetrics } from '#lib/metrics.ts'
import { defaultOptions } from '#policyd/deps.ts'
import { Policyd } from '#policyd/policyd.ts'
import { askToCut, cutPath, cutRoute } from '#rpc/http/cut.ts'
import { serveHttp } from '#rpc/http/serve.ts'
import { bpfObject } from '../../tools/bpf/compile.ts'
import { KubeModel } from '../support/kube-model.ts'
import { type Endpoints, service, slice } from '../support/service-objects.ts'
import { until } from '../support/until.ts'
import { applied, BpfLab, sizes } from './bpf-lab.ts'
import { Actor, TestCgroup } from './bpf-sockets-lab.ts'

/** From the API server to a process of the node: terway-policy, terwayd's part of it, the kernel, and sockets. */
const cgroup = new TestCgroup('gone')
const backends = ['192.0.2.2', '192.0.2.3']
const ports = [{ name: 'dns', protocol: 'UDP', port: 8080 }]
const [vip, port] = ['172.21.0.1', 53]
const cluster = new KubeModel(realClock)
const closers: (() => Promise<unknown>)[] = []
let node: Actor

const put = (endpoints: Endpoints) => cluster.put(endpointSlices, slice('default/dns', 'dns-1', endpoints, ports))
const endpoints = (...ips: readonly string[]): Endpoints => Object.fromEntries(ips.map(ip => [ip, {}]))

before(async () => {
  const lab = new BpfLab()
  lab.ip(lab.peer, 'addr add 192.0.2.3/24 dev p0')
  node = new Actor(lab.host, cgroup)
  const world = new Actor(lab.peer, cgroup)
  for (const ip of backends) await world.serve(ip, ip, 8080)
  lab.use(bpfObject())
  const kernel = await lab.kernel({ cgroup: cgroup.directory })
  const { generation } = await kernel.loadPrograms({ ...sizes, node_flows: 1024 })
  await applied(kernel, [modeOp(mode.service)])
  await attachSockets(kernel, generation)
  const socket = join(lab.directory, 'debug.socket')
  const terwayd = await serveHttp(`unix://${socket}`, { [cutPath]: cutRoute(gone => cutSockets(kernel, gone)) }, silent)
  cluster.put(nodes, nodes.parse({ metadata: { name: 'n' }, status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] } }))
  cluster.put(services, service('default/dns', { clusterIP: vip, ports: [{ name: 'dns', protocol: 'UDP', port }] }))
  put(endpoints(...backends))
  const policyd = new Policyd(
    {
      ...{ kube: cluster.client('policyd'), kernel: makePinnedMaps(lab.pins), clock: realClock, log: silent, metrics: policyMetrics() },
      cutSockets: gone => askToCut(socket, gone),
    },
    { ...defaultOptions, nodeName: 'n', proxyHealth: '127.0.0.1:0' },
  )
  await policyd.start()
  await until(() => policyd.status().synced)
  closers.push(
    () => policyd.stop(),
    () => terwayd.close(),
    () => node.close(),
    () => world.close(),
    () => kernel.unloadPrograms(),
    () => lab.close(),
  )
})
after(async () => {
  for (const close of closers) await close()
  await until(() => cgroup.isEmpty)
  cgroup.remove()
})

test('an endpoint of UDP that leaves the API server ends the sockets that are connected to it, and the next ones go elsewhere', async () => {
  const conversation = await node.open('udp-connected', vip, port)
  const { name } = await conversation.ask()
  const other = backends.find(ip => ip !== name) ?? ''
  put({ ...endpoints(other), [name]: { ready: false, serving: true, terminating: true } })
  await until(async () => (await node.ask('udp-connected', vip, port)).name === other && (await node.ask('udp', vip, port)).name === other)
  assert.equal((await conversation.ask()).name, name, 'it still answers')
  put(endpoints(other))
  await until(async () => {
    const said = await conversation.ask().catch(String)
    return typeof said === 'string' && said.includes('ECONNABORTED')
  })
  await conversation.close()
  for (let i = 0; i < 5; i++) assert.equal((await node.ask('udp-connected', vip, port)).name, other)
})
