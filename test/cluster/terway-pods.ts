// SPDX-License-Identifier: Apache-2.0
import { readlinkSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { labApp } from '../../deploy/image/list.ts'
import { get } from '../../lab/get.ts'
import { expectClients, fromControl, hostPort } from '../../lab/http.ts'
import type { Lab } from '../../lab/lab.ts'
import { leasesOf } from '../../lab/ledger.ts'
import { ipsOf, isReady, type Pod } from '../../lab/pods.ts'
import { until } from '../../lab/process.ts'
import { familyOf } from '../../sim/fabric/address.ts'
import { addressesOf } from '../../src/ipam/book.ts'
import type { Lease } from '../../src/ipam/ledger.ts'

export const appPort = 8080

export interface PodWish {
  readonly node: string
  /** What its container may have of a node's own resources. Then the scheduler says whether the node has room for it, and it waits when not. */
  readonly limits?: Readonly<Record<string, string>>
  readonly command?: readonly string[]
  readonly hostPort?: number
  /** On its node's own network, where ports are shared with the node. */
  readonly hostNetwork?: boolean
  /** Where the server listens, `appPort` when absent. */
  readonly port?: number
  /** The kubelet asks it: it is ready when it has answered, and killed when it answers no more. */
  readonly probed?: boolean
  readonly restartPolicy?: 'Always' | 'Never'
  /** A condition that nobody sets: it runs and is never ready. */
  readonly readinessGate?: string
  /** How long it may take to end, 1 s when absent; a program that hears no SIGTERM takes all of it. */
  readonly graceSeconds?: number
}

/** Creates a pod on a node, without the scheduler when it has no limits; the lab's HTTP server when no command is given. */
export async function createPod(lab: Lab, name: string, wish: PodWish): Promise<void> {
  await lab.kubectl(['apply', '-f', '-'], JSON.stringify(manifest(name, wish)))
}

/** Creates a pod and resolves when it is ready. */
export async function startPod(lab: Lab, name: string, wish: PodWish): Promise<Pod> {
  await createPod(lab, name, wish)
  return readyPod(lab, name)
}

function manifest(
  name: string,
  {
    node,
    limits,
    command,
    hostPort,
    hostNetwork = false,
    port = appPort,
    probed = false,
    restartPolicy,
    readinessGate,
    graceSeconds = 1,
  }: PodWish,
): object {
  const probe = { httpGet: { path: '/', port }, periodSeconds: 1, timeoutSeconds: 5 }
  const container = {
    name: 'app',
    image: labApp.ref,
    imagePullPolicy: 'Never',
    env: [{ name: 'PORT', value: String(port) }],
    ports: hostPort === undefined ? [] : ['TCP', 'UDP'].map(protocol => ({ containerPort: port, hostPort, protocol })),
    ...(command !== undefined && { command }),
    ...(limits !== undefined && { resources: { limits } }),
    ...(probed && { startupProbe: { ...probe, failureThreshold: 30 }, livenessProbe: probe, readinessProbe: probe }),
  }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { test: name } },
    spec: {
      ...(limits === undefined ? { nodeName: node } : { nodeSelector: { 'kubernetes.io/hostname': node } }),
      hostNetwork,
      terminationGracePeriodSeconds: graceSeconds,
      // A token is one more thing that a kubelet would want of the API server.
      automountServiceAccountToken: false,
      ...(restartPolicy !== undefined && { restartPolicy }),
      ...(readinessGate !== undefined && { readinessGates: [{ conditionType: readinessGate }] }),
      containers: [container],
    },
  }
}

export async function readyPod(lab: Lab, name: string): Promise<Pod> {
  return until(
    `pod ${name} is ready`,
    120_000,
    async () => {
      const pod = await get<Pod>(lab, 'pod', name)
      return isReady(pod) && pod
    },
    250,
  )
}

/** Deletes pods and waits until they are gone. */
export async function deletePods(lab: Lab, ...names: readonly string[]): Promise<void> {
  await lab.kubectl(['delete', 'pod', ...names, '--timeout=300s'])
}

/** Waits until the API server has the addresses of the pod's present lease. */
export async function toldOf(lab: Lab, name: string, lease: Lease): Promise<void> {
  const wanted = addressesOf(lease).join()
  const told = async () => ipsOf(await readyPod(lab, name)).join()
  await until(`the API server knows ${wanted} of pod ${name}`, 120_000, async () => (await told()) === wanted, 500)
}

/** HTTP from the control plane's machine: each address answers, and sees that machine's own address of the same family. */
export async function reached(lab: Lab, addresses: readonly string[], port = appPort): Promise<void> {
  const targets = addresses.map(ip => hostPort(ip, port))
  const { control } = lab.state
  const own = new Map(addresses.map((ip, i) => [targets[i], familyOf(ip) === 4 ? control.address : control.address6]))
  await until(
    `${targets.join(' and ')} answer`,
    120_000,
    async () => {
      const answers = await fromControl(lab, targets)
      return answers.every(a => a.client !== undefined) && expectClients(answers, a => own.get(a.target) ?? '')
    },
    500,
  )
}

/** The lease of a pod in its node's ledger, in state `held`; waits for it. */
export async function leaseOf(lab: Lab, node: string, pod: string, accept: (lease: Lease) => boolean = () => true): Promise<Lease> {
  return until(
    `a lease of ${pod} in the ledger of ${node}`,
    120_000,
    () => leasesOf(lab, node)?.find(l => l.podName === pod && l.state === 'held' && accept(l)),
    250,
  )
}

/** The process that keeps a sandbox's namespace: the pause program in it. */
export async function pauseOf(lab: Lab, node: string, lease: Lease): Promise<number> {
  const init = await lab.node(node).init()
  const { ino } = statSync(`/proc/${init}/root/run/netns/${basename(lease.attachment.netns)}`)
  const pause = lab
    .node(node)
    .programs()
    .find(p => p.argv[0] === '/pause' && namespaceOf(p.pid) === `net:[${ino}]`)
  if (pause === undefined) throw new Error(`no pause process in ${lease.attachment.netns} of ${node}`)
  return pause.pid
}

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`)
  } catch {
    return undefined
  }
}
