// SPDX-License-Identifier: Apache-2.0
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { podArgs } from '../../test/support/cni-client.ts'
import { BenchCluster } from './cluster.ts'
import { addNetns, benchEni, ipBatch, makeNode, nameOwnNetns, nicOf, plugEni, target } from './network.ts'
import { type Job, Runner } from './runner.ts'
import { shim, Terwayd } from './terwayd.ts'

const eniConf = {
  version: '1',
  ipam_type: 'crd',
  vswitches: { 'zone-a': ['vsw-1'] },
  security_group: 'sg-1',
  max_pool_size: 240,
  min_pool_size: 0,
}
const version = '1.0.0'

export interface BenchPod {
  readonly name: string
  readonly uid: string
  /** A number of the sandbox: each has one namespace, which serves again and again. */
  readonly sandbox: number
}

/** One CNI plugin on one node. Both sides of a comparison are driven through this alone. */
export interface Side {
  readonly name: 'terway' | 'ptp'
  readonly nodeName: string
  readonly runner: Runner
  job(command: 'ADD' | 'DEL', pod: BenchPod): Job
  /** The file of the pod's network namespace. */
  netns(pod: BenchPod): string
  /** Until the kernel is as it was before the first ADD. */
  settled(): Promise<void>
  /** CPU time in milliseconds that processes of this side have used which no job waits for. */
  daemonCpuMs(): number
}

interface SideOptions {
  readonly name: Side['name']
  readonly runner: Runner
  readonly program: string
  readonly conf: object
  readonly settled: () => Promise<void>
  readonly daemonCpuMs: () => number
}

const netnsOf = (side: string, sandbox: number) => `/run/netns/${side}-${sandbox}`

function makeSide({ name, runner, program, conf, settled, daemonCpuMs }: SideOptions): Side {
  const stdin = JSON.stringify(conf)
  return {
    name,
    runner,
    nodeName: `node-${name}`,
    settled,
    daemonCpuMs,
    netns: pod => netnsOf(name, pod.sandbox),
    job: (command, pod) => {
      const netns = netnsOf(name, pod.sandbox)
      const env = {
        CNI_COMMAND: command,
        CNI_CONTAINERID: `${pod.name}-${pod.uid}`,
        CNI_NETNS: netns,
        CNI_IFNAME: 'eth0',
        CNI_ARGS: podArgs('default', pod.name, pod.uid),
        CNI_PATH: '/usr/lib/cni',
      }
      return { program, env, stdin, ...(command === 'ADD' && { ping: { netns, address: target } }) }
    },
  }
}

/** ptp with host-local, which keeps its state on the same disk as terwayd's ledger. */
export async function ptpSide(dir: string, sandboxes: number): Promise<Side> {
  addNetns('ptp')
  makeNode('ptp')
  ipBatch('ptp-far', ['route add 10.99.0.0/16 via 192.168.0.10'])
  const runner = new Runner('/run/netns/ptp')
  await makeSandboxes(runner, 'ptp', sandboxes)
  const dataDir = join(dir, 'cni', 'host-local')
  mkdirSync(dataDir)
  const ipam = { type: 'host-local', subnet: '10.99.0.0/16', dataDir, routes: [{ dst: '0.0.0.0/0' }] }
  return makeSide({
    name: 'ptp',
    runner,
    program: '/usr/lib/cni/ptp',
    conf: { cniVersion: version, name: 'bench', type: 'ptp', ipMasq: false, mtu: 1500, ipam },
    settled: async () => {},
    daemonCpuMs: () => 0,
  })
}

export interface TerwaySide extends Side {
  readonly daemon: Terwayd
  readonly cluster: BenchCluster
}

/** The bundled terwayd and the real shim on a node with 8 ENIs of 30 addresses each, and a real API server. */
export async function terwaySide(dir: string, sandboxes: number): Promise<TerwaySide> {
  nameOwnNetns('node')
  makeNode('node')
  const enis = Array.from({ length: 8 }, (_, i) => benchEni(i + 1, 30))
  for (const [i, eni] of enis.entries()) plugEni('node', i + 1, eni)
  const cluster = await BenchCluster.start(eniConf)
  const nodeName = 'node-terway'
  await cluster.register(nodeName)
  await cluster.provide(nodeName, enis.map(nicOf))
  const daemon = new Terwayd({ dir, nodeName, kubeconfig: cluster.kubeconfig })
  await daemon.ready()
  const runner = new Runner()
  await makeSandboxes(runner, 'terway', sandboxes)
  const conf = { cniVersion: version, name: 'terway', type: 'terway' }
  const side = makeSide({ name: 'terway', runner, program: shim, conf, settled: () => daemon.settled(), daemonCpuMs: () => daemon.cpuMs() })
  return { ...side, daemon, cluster }
}

async function makeSandboxes(runner: Runner, side: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await runner.makeNetns(netnsOf(side, i))
}
