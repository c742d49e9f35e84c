// SPDX-License-Identifier: Apache-2.0
import type { Metadata } from '#cloud/metadata.ts'
import type { Event } from '#kernel/bpf/ring.ts'
import type { Kernel } from '#kernel/port.ts'
import type { TerwayClient } from '#rpc/grpc/client.ts'

/** What a command reaches outside itself through; a test gives its own. */
export interface CliDeps {
  /** Prints one line. */
  readonly out: (line: string) => void
  /** Opens the daemon's gRPC socket; the command closes it. */
  readonly connect: (socket: string) => TerwayClient
  readonly metadata: () => Metadata
  /** The kernel of this machine; the command closes it. */
  readonly kernel: () => Promise<Kernel>
  /** What terway-policy of this node answers to a path, parsed. Throws `policy-unreachable`. */
  readonly policy: (path: string) => Promise<unknown>
  /** Where a person's wish for the node's datapath is kept. */
  readonly switchPath: string
  /** Where the API server says that the pod is; undefined when it has no such pod. Throws when no API server can be asked. */
  readonly findPod: (namespace: string, name: string) => Promise<PodPlace | undefined>
  /** What a Service serves, as `10.96.0.10:80/TCP`, and a node's addresses: the same way. */
  readonly findService: (namespace: string, name: string) => Promise<readonly string[] | undefined>
  readonly findNode: (name: string) => Promise<readonly string[] | undefined>
  /** What the programs tell from now on; the command closes it. Throws KernelError. */
  readonly events: () => Promise<EventSource>
  /** Aborts when this process is asked to end, which from now on is left to the command. */
  readonly stopped: () => AbortSignal
}

export interface EventSource {
  read(): { readonly events: readonly Event[]; readonly lost: boolean }
  close(): void
}

export interface PodPlace {
  /** Undefined until the pod is scheduled. */
  readonly nodeName?: string
  readonly phase: string
  readonly hostNetwork: boolean
  readonly ips?: readonly string[]
}

/** Runs `fn` with a connection that is closed afterwards. */
export async function withDaemon<T>(deps: CliDeps, socket: string, fn: (daemon: TerwayClient) => Promise<T>): Promise<T> {
  const daemon = deps.connect(socket)
  try {
    return await fn(daemon)
  } finally {
    daemon.close()
  }
}
