// SPDX-License-Identifier: Apache-2.0

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Daemon, startDaemon } from '#daemon/daemon.ts'
import { defaultOptions, type Host, type Options } from '#daemon/deps.ts'
import { noObserver, type Observer } from '#daemon/observer.ts'
import { noSample, type ProgramSample } from '#daemon/programs.ts'
import type { BpfProbe } from '#kernel/port.ts'
import { realClock } from '#lib/clock.ts'
import { type Logger, silent } from '#lib/log.ts'
import type { Ip } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import type { Stack } from '#net/stack.ts'
import { type CniCall, type CniReply, callCni, conf, podArgs } from './cni-client.ts'
import { DatapathModel } from './datapath-model.ts'
import { KubeModel } from './kube-model.ts'
import { emptyDisk, LedgerMemory } from './ledger-memory.ts'
import { eni, NodeWorld, nodeName } from './node-world.ts'

/** For a daemon whose refusals are tested: others wait as long as a busy machine needs. */
export const hasty = { podWait: 200, addressWait: 300 } as const

/** One node with its kernel, ledger and cluster, all in memory, on which a daemon can be started, killed and started again. */
export class DaemonWorld implements AsyncDisposable {
  readonly model = new KubeModel(realClock)
  readonly cluster: NodeWorld
  readonly kernel = new DatapathModel(realClock)
  readonly disk = emptyDisk()
  readonly files = new Map<string, string>([['/etc/eni/10-terway.conf', '{"cniVersion":"0.4.0","name":"terway","type":"terway"}']])
  readonly netns = new Set<string>()
  readonly dir = mkdtempSync(join(tmpdir(), 'terwayd-'))
  options: Options
  observer: Observer = noObserver
  log: Logger = silent
  /** Whether the node's kernel has IPv6. */
  ipv6 = true
  /** What the node's kernel answers to a trial of what programs need; none = it has everything. */
  probes: readonly BpfProbe[] = []
  /** What its programs count. */
  sample: ProgramSample = noSample
  /** Pods' addresses that programs leave to the host stack. */
  leftToHostStack: readonly Ip[] = []
  ledger = new LedgerMemory(this.disk)
  daemon: Daemon | undefined

  constructor(addresses: readonly string[], options: Partial<Options> = {}, stack: Stack = 'ipv4') {
    this.model.faults.reconnectDelay = () => 5
    this.cluster = new NodeWorld(this.model, addresses, stack)
    this.kernel.enis.add(parseMac(eni.mac))
    this.options = {
      ...defaultOptions,
      nodeName,
      cniSocket: join(this.dir, 'cni.socket'),
      podWait: 60_000,
      addressWait: 60_000,
      statusWait: 100,
      reportInterval: 10,
      podGoneFloor: 100,
      netnsDir: '/run/netns',
      ...options,
    }
  }

  async start(): Promise<Daemon> {
    this.ledger = new LedgerMemory(this.disk, this.disk.bootId || 'boot')
    const host: Host = {
      netns: path => (this.netns.has(path) ? 'live' : 'absent'),
      list: directory => [...this.netns].filter(path => path.startsWith(`${directory}/`)),
      read: path => this.files.get(path),
      writeAtomically: (path, text) => void this.files.set(path, text),
      ipv6: () => this.ipv6,
    }
    this.daemon = await startDaemon(
      {
        kube: this.model.client('terwayd'),
        datapath: this.kernel,
        ledger: this.ledger,
        clock: realClock,
        log: this.log,
        observer: this.observer,
        host,
        programs: {
          ...this.kernel.programs,
          probe: async () => this.probes,
          sample: async () => this.sample,
          takenDevice: async () => undefined,
          leftToHostStack: async () => this.leftToHostStack,
        },
        primaryVSwitch: async () => undefined,
      },
      this.options,
    )
    return this.daemon
  }

  async started(): Promise<Daemon> {
    const daemon = await this.start()
    await daemon.ready
    return daemon
  }

  async stop(): Promise<void> {
    await this.daemon?.stop()
    this.daemon = undefined
  }

  call(call: CniCall): Promise<CniReply> {
    return callCni(this.options.cniSocket, call)
  }

  /** ADD of the pod's sandbox; the namespace exists from here on. */
  add(pod: string, containerId = `c-${pod}`, uid = `uid-${pod}`, config: object = conf): Promise<CniReply> {
    const netns = `/run/netns/${containerId}`
    this.netns.add(netns)
    return this.call({ command: 'ADD', containerId, netns, args: podArgs('default', pod, uid), config })
  }

  del(containerId: string): Promise<CniReply> {
    return this.call({ command: 'DEL', containerId })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** The first address that ADD answered, without its mask. */
export function ipOf(reply: CniReply): string {
  const [first] = ipsOf(reply)
  if (first === undefined) throw new Error(`no address in ${JSON.stringify(reply)}`)
  return first
}

/** All addresses that ADD answered, without their masks. */
export function ipsOf(reply: CniReply): readonly string[] {
  return (reply.body?.ips ?? []).map(({ address }) => address.split('/')[0] ?? '')
}
