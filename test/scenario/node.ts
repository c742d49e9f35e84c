// SPDX-License-Identifier: Apache-2.0

import { type Daemon, startDaemon } from '#daemon/daemon.ts'
import { defaultOptions } from '#daemon/deps.ts'
import { noObserver } from '#daemon/observer.ts'
import { noSample } from '#daemon/programs.ts'
import type { BpfProbe } from '#kernel/port.ts'
import { pods } from '#kube/reflect/pod.ts'
import type { Clock } from '#lib/clock.ts'
import { AppError, messageOf } from '#lib/errors.ts'
import type { Logger } from '#lib/log.ts'
import type { Ip } from '#net/ip.ts'
import type { Stack } from '#net/stack.ts'
import type { CniHandler } from '#rpc/cni-server.ts'
import { DatapathModel } from '../support/datapath-model.ts'
import type { KubeModel } from '../support/kube-model.ts'
import { emptyDisk, LedgerMemory } from '../support/ledger-memory.ts'

const config = { cniVersion: '1.0.0', name: 'terway' } as const
const conflist = JSON.stringify({ cniVersion: '0.4.0', name: 'terway-chainer', plugins: [{ type: 'terway', eniip_virtual_type: 'veth' }] })

/** What the kubelet knows of a pod: its addresses, or why its last ADD failed. */
export interface TestPod {
  readonly name: string
  /** What pods were to have when it came. */
  readonly stack: Stack
  /** The first of its addresses. */
  ip: string | undefined
  ips: readonly string[]
  lastError: string
  gone: boolean
}

/** A machine with the real daemon over a kernel and a ledger in memory, and a kubelet that asks again until a pod has its address. */
export class TestNode {
  readonly name: string
  readonly instanceId: string
  readonly kernel: DatapathModel
  readonly disk = emptyDisk()
  /** What the node's kernel answers to a trial of what programs need; none = it has everything. */
  probes: readonly BpfProbe[] = []
  /** Why the kernel does not tell the mode; empty when it does. */
  modeFault = ''
  /** Pods' addresses that programs leave to the host stack. */
  leftToHostStack: readonly Ip[] = []
  /** The node's own device, where somebody else's qdisc is. */
  takenDevice: string | undefined
  /** Files of the machine; those below /var/run are gone after a reboot. */
  readonly files = new Map([[`${defaultOptions.cniConfDir}/10-terway.conflist`, conflist]])
  readonly pods = new Map<string, TestPod>()
  readonly #clock: Clock
  readonly #api: KubeModel
  readonly #log: Logger
  readonly #stack: () => Stack
  readonly #netns = new Set<string>()
  #handler: CniHandler | undefined
  #daemon: Daemon | undefined

  constructor(o: { name: string; instanceId: string; clock: Clock; api: KubeModel; log: Logger; stack: () => Stack }) {
    this.name = o.name
    this.instanceId = o.instanceId
    this.#clock = o.clock
    this.#api = o.api
    this.#log = o.log
    this.#stack = o.stack
    this.kernel = new DatapathModel(o.clock)
  }

  async start(primaryVSwitch: () => Promise<string | undefined> = () => Promise.resolve(undefined)): Promise<void> {
    const host = {
      netns: (path: string) => (this.#netns.has(path) ? ('live' as const) : ('absent' as const)),
      list: (): readonly string[] => [],
      read: (path: string) => this.files.get(path),
      writeAtomically: (path: string, text: string) => void this.files.set(path, text),
    }
    this.#daemon = await startDaemon(
      {
        kube: this.#api.client(`daemon-${this.name}`),
        datapath: this.kernel,
        ledger: new LedgerMemory(this.disk),
        clock: this.#clock,
        log: this.#log,
        observer: noObserver,
        host,
        programs: {
          probe: async () => this.probes,
          mode: async () => {
            if (this.modeFault !== '') throw new AppError('kernel-refused', this.modeFault)
            return this.kernel.mode
          },
          turnOff: this.kernel.programs.turnOff,
          sample: async () => noSample,
          takenDevice: async () => this.takenDevice,
          leftToHostStack: async () => this.leftToHostStack,
        },
        primaryVSwitch,
      },
      { ...defaultOptions, nodeName: this.name },
      async ({ handler }) => {
        this.#handler = handler
        return { close: closed => closed() }
      },
    )
  }

  async stop(): Promise<void> {
    this.#handler = undefined
    await this.#daemon?.stop()
  }

  /** What the daemon says of itself; nothing without one. */
  trace(): Readonly<Record<string, string>> {
    return this.#daemon?.state.trace() ?? {}
  }

  /** Schedules pods to the node; the kubelet brings them up as time passes. */
  add(...names: readonly string[]): void {
    for (const name of names) {
      const metadata = { name, namespace: 'default', uid: `uid-${name}` }
      this.#api.put(pods, { apiVersion: 'v1', kind: 'Pod', metadata, spec: { nodeName: this.name }, status: { phase: 'Pending' } })
      const pod: TestPod = { name, stack: this.#stack(), ip: undefined, ips: [], lastError: '', gone: false }
      this.pods.set(name, pod)
      void this.#bringUp(pod)
    }
  }

  /** Deletes the pod as time passes: DEL, then the object. */
  remove(name: string): void {
    const pod = this.pods.get(name)
    if (pod !== undefined) pod.gone = true
    this.pods.delete(name)
    void this.#tearDown(name)
  }

  /** The pod is gone with its machine: no DEL. */
  forget(name: string): void {
    const pod = this.pods.get(name)
    if (pod !== undefined) pod.gone = true
    this.pods.delete(name)
    this.#api.remove(pods, name, 'default')
  }

  async #tearDown(name: string): Promise<void> {
    const containerId = `c-${name}`
    await this.#handler?.({ verb: 'DEL', containerId, ifName: 'eth0', config }, this.#clock.now())
    this.#netns.delete(`/run/netns/${containerId}`)
    this.#api.remove(pods, name, 'default')
  }

  /** Every pod has its address. */
  get served(): boolean {
    return [...this.pods.values()].every(p => p.ip !== undefined)
  }

  async #bringUp(pod: TestPod): Promise<void> {
    const containerId = `c-${pod.name}`
    const netns = `/run/netns/${containerId}`
    this.#netns.add(netns)
    while (!pod.gone && pod.ip === undefined) {
      try {
        const request = {
          verb: 'ADD',
          containerId,
          ifName: 'eth0',
          netns,
          config,
          pod: { namespace: 'default', name: pod.name, uid: `uid-${pod.name}` },
        } as const
        const { ips = [] } = ((await this.#handler?.(request, this.#clock.now())) ?? {}) as {
          readonly ips?: readonly { readonly address: string }[]
        }
        pod.ips = ips.map(({ address }) => address.replace(/\/\d+$/, ''))
        pod.ip = pod.ips[0]
        const present = this.#api.read(pods, pod.name, 'default')
        if (pod.ip !== undefined && present !== undefined)
          this.#api.put(pods, { ...present, status: { phase: 'Running', podIP: pod.ip, podIPs: pod.ips.map(ip => ({ ip })) } })
      } catch (e) {
        pod.lastError = messageOf(e)
      }
      await this.#clock.sleep(2_000)
    }
  }
}
