// SPDX-License-Identifier: Apache-2.0
import { capabilitiesPath } from '#config/capabilities.ts'
import { switchPath } from '#config/datapath-switch.ts'
import type { Memory } from '#daemon/flow-entries.ts'
import type { Observer } from '#daemon/observer.ts'
import type { Programs } from '#daemon/programs.ts'
import type { NetnsPath } from '#datapath/attachment.ts'
import type { Datapath } from '#datapath/port.ts'
import type { Ledger } from '#ipam/ledger.ts'
import type { Kube } from '#kube/port.ts'
import type { Clock } from '#lib/clock.ts'
import type { Logger } from '#lib/log.ts'

/** Everything the daemon reaches outside itself through; built once in main.ts, or by a test. */
export interface Deps {
  readonly kube: Kube
  readonly datapath: Datapath
  readonly ledger: Ledger
  readonly clock: Clock
  readonly log: Logger
  readonly observer: Observer
  readonly host: Host
  readonly programs: Programs
  /** The vSwitch of the node's primary ENI, for a zone that the configuration does not list; undefined when it cannot be told. */
  readonly primaryVSwitch: () => Promise<string | undefined>
}

/** The few files of the host that the daemon reads or writes besides its ledger. */
export interface Host {
  /** Whether the path is a live network namespace (a file on nsfs), `stale` when it exists but is not one. */
  netns(path: NetnsPath): 'live' | 'stale' | 'absent'
  /** Paths of the files in this directory; none when it does not exist. */
  list(directory: string): readonly string[]
  /** Undefined when the file does not exist. */
  read(path: string): string | undefined
  /** Writes beside the target, syncs and renames: readers see the old or the new text. Mode 0600. */
  writeAtomically(path: string, text: string): void
  /** Whether the kernel has IPv6; absent = yes. */
  ipv6?(): boolean
  /** Absent = maps get their default sizes. */
  memory?(): Memory
}

/** Where the daemon runs and how it behaves; durations in milliseconds. */
export interface Options {
  readonly nodeName: string
  /** Namespace of the daemon's ConfigMaps and of the leader-election Lease. */
  readonly namespace: string
  /** Unix socket of the CNI shim. */
  readonly cniSocket: string
  /** Mounted file with the base configuration (flag -config). */
  readonly configPath: string
  /** Mounted CNI configuration (10-terway.conflist, else 10-terway.conf) and where the generated list goes. */
  readonly cniConfDir: string
  readonly hostCniDir: string
  /** Terway's feature gate: programs translate Services where neither the configuration nor an earlier decision says anything. */
  readonly kubeProxyReplacement: boolean
  /** Where `terway-cli datapath` writes what a person wants of this node. */
  readonly switchPath: string
  /** Terway's file of what a node has decided, and ours of how it forwards; a reboot takes both away. */
  readonly capabilitiesPath: string
  readonly datapathMemoryPath: string
  /** Where the container runtime binds the namespaces of its sandboxes, as the daemon sees it. */
  readonly netnsDir: string
  /** How long an ADD waits for the pod to appear in the watch before it asks the API server once. */
  readonly podWait: number
  /** How long an ADD waits for an address when the pool is dry. */
  readonly addressWait: number
  /** How long a STATUS waits for a daemon that is starting. With the shim's own wait it must stay under the 25 s that a kubelet tolerates. */
  readonly statusWait: number
  /** How long a released address rests before another pod may have it. */
  readonly coolingFloor: number
  /** Shortest time between two writes of NodeRuntime. */
  readonly reportInterval: number
  /** Time between two comparisons of all held leases with the kernel: how long damage inside a pod may last. */
  readonly repairInterval: number
  /** How long a pod must be gone from the API server before its lease may end without a DEL. */
  readonly podGoneFloor: number
  /** ADDs that may work at the same time; further ones queue. */
  readonly concurrency: number
}

export const defaultOptions = {
  namespace: 'kube-system',
  cniSocket: '/var/run/eni/cni.socket',
  configPath: '/etc/eni/eni_conf',
  cniConfDir: '/etc/eni',
  hostCniDir: '/host-etc-net.d',
  kubeProxyReplacement: false,
  switchPath,
  capabilitiesPath,
  datapathMemoryPath: '/var/run/eni/datapath.json',
  netnsDir: '/var/run/netns',
  podWait: 5_000,
  addressWait: 30_000,
  statusWait: 5_000,
  coolingFloor: 30_000,
  reportInterval: 1_000,
  repairInterval: 5_000,
  podGoneFloor: 30_000,
  concurrency: 32,
} satisfies Omit<Options, 'nodeName'>
