// SPDX-License-Identifier: Apache-2.0
import { editAddresses, editNic, nicsOf, putNic } from '#controller/eni/status.ts'
import { isLive } from '#ipam/pool.ts'
import type { Nic, NicIp, NodeStatus } from '#kube/crd/node.ts'
import type { NodeRuntime } from '#kube/crd/node-runtime.ts'
import { familiesOf, type Stack } from '#net/stack.ts'

/** A pod of the node as binding needs it. */
export interface BindablePod {
  /** namespace/name */
  readonly id: string
  readonly uid: string
  /** Addresses that the pod already has, as its status says. */
  readonly ips: readonly string[]
  /** Terminating pods keep what they have, and get nothing. */
  readonly leaving: boolean
}

/**
 * Terway's protocol, for a daemon that does not bind by itself: an address is freed when its pod is gone and NodeRuntime says
 * `deleted` for exactly that UID; each pod without an address gets a free one, a pod that already has an address gets that one.
 */
export function bindCentrally(
  status: NodeStatus,
  pods: readonly BindablePod[],
  runtime: NodeRuntime | undefined,
  stack: Stack,
): NodeStatus {
  const present = new Set(pods.map(p => p.uid))
  const freed = nicsOf(status).reduce(
    (s, nic) =>
      putNic(
        s,
        editAddresses(nic, a => isFree(a, present, runtime), unbound),
      ),
    status,
  )
  const bound = new Set(nicsOf(freed).flatMap(nic => addressesOf(nic).flatMap(a => (a.podUID === undefined ? [] : [a.podUID]))))
  const waiting = pods.filter(p => !p.leaving && !bound.has(p.uid))
  // Pods that have an address come first, so that nobody else is given it.
  return [...waiting.filter(p => p.ips.length > 0), ...waiting.filter(p => p.ips.length === 0)].reduce(
    (s, p) => bindOne(s, p, stack),
    freed,
  )
}

function isFree(a: NicIp, present: ReadonlySet<string>, runtime: NodeRuntime | undefined): boolean {
  if (a.podUID === undefined || a.podUID === '' || present.has(a.podUID)) return false
  const pod = runtime?.status?.pods?.[a.podUID]
  return pod !== undefined && !isLive(pod)
}

/** What has vanished is let go; a primary address stays Invalid, which says that its ENI is lost, and leaves with it. */
function unbound(a: NicIp): NicIp {
  const { podID: _, podUID: __, ...rest } = a
  return a.status === 'Invalid' && !a.primary ? { ...rest, status: 'Deleting' } : rest
}

function bindOne(s: NodeStatus, pod: BindablePod, stack: Stack): NodeStatus {
  for (const nic of nicsOf(s)) {
    const chosen = choose(nic, pod, stack)
    if (chosen === undefined) continue
    const ips = new Set(chosen.map(a => a.ip))
    return editNic(s, nic.id, n =>
      editAddresses(
        n,
        a => ips.has(a.ip),
        a => ({ ...a, podID: pod.id, podUID: pod.uid }),
      ),
    )
  }
  return s
}

/** A pod that has addresses gets those, whatever the stack is now; another one gets one of each family of the stack. */
function choose(nic: Nic, pod: BindablePod, stack: Stack): readonly NicIp[] | undefined {
  const free = (addresses: Nic['ipv4']) => Object.values(addresses ?? {}).filter(a => a.podID === undefined || a.podID === '')
  if (pod.ips.length > 0) {
    const own = [...free(nic.ipv4), ...free(nic.ipv6)].filter(a => pod.ips.includes(a.ip))
    return own.length > 0 ? own : undefined
  }
  if (nic.status !== 'InUse' || nic.unschedulable === true || nic.networkInterfaceTrafficMode === 'HighPerformance') return undefined
  const families = familiesOf(stack)
  const found = families.flatMap(f => free(f === 4 ? nic.ipv4 : nic.ipv6).find(a => a.status === 'Valid') ?? [])
  return found.length === families.length ? found : undefined
}

function addressesOf(nic: Nic): readonly NicIp[] {
  return [...Object.values(nic.ipv4 ?? {}), ...Object.values(nic.ipv6 ?? {})]
}
