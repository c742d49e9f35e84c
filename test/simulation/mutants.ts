// SPDX-License-Identifier: Apache-2.0

import type { IfName } from '#datapath/attachment.ts'
import type { Datapath } from '#datapath/port.ts'
import type { Plan, PlanInput } from '#ipam/action.ts'
import type { Ledger, LedgerChange } from '#ipam/ledger.ts'
import { plan } from '#ipam/plan.ts'
import { type Pool, type PoolAddress, poolOf } from '#ipam/pool.ts'
import type { NodeStatus } from '#kube/crd/node.ts'
import { eniModeLabel, nodeCrs } from '#kube/crd/node.ts'
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import type { Kube, KubeObject } from '#kube/port.ts'
import type { CniHandler } from '#rpc/cni-server.ts'
import { noMutation, type Ports } from './cluster.ts'
import { delegate } from './delegate.ts'

/** A variant of the product that lacks one safeguard. The simulation must notice each of them. */
export interface Mutant {
  readonly name: string
  readonly lacks: string
  /** Fresh for each run. */
  readonly ports: () => Ports
}

const controller = (change: Partial<Ports['controller']>): Ports => ({ ...noMutation, controller: { ...noMutation.controller, ...change } })
const daemon = (change: Partial<Ports['daemon']>): Ports => ({ ...noMutation, daemon: { ...noMutation.daemon, ...change } })

/** Surroundings in which what some mutants lack is needed often. The product itself must bear them as well. */
export const isolated: Ports['surroundings'] = { weather: {}, isolation: 6 }
export const manyLateCalls: Ports['surroundings'] = { weather: { late: 0.4, lateBy: 58_000, scarce: 0.6 } }
export const longLag: Ports['surroundings'] = { weather: {}, describeLag: 15_000 }
export const manyExtras: Ports['surroundings'] = { weather: {}, extras: 10 }

export const mutants: readonly Mutant[] = [
  {
    name: 'skip-ack',
    lacks: "the daemon's answer before an address leaves the node",
    ports: () => ({
      ...controller({ decisions: { poolOf: facts => withStates(poolOf(facts), s => (s === 'marked' || s === 'refused' ? 'acked' : s)) } }),
      surroundings: isolated,
    }),
  },
  {
    name: 'count-demand-twice',
    lacks: 'the subtraction of idle addresses from the demand of waiting pods',
    ports: () =>
      controller({
        decisions: { plan: input => plan({ ...input, demand: { ...input.demand, min: input.demand.min + input.demand.waiting } }) },
      }),
  },
  {
    name: 'no-intent',
    lacks: 'the record of a creating call before it is made',
    ports: () => controller({ kube: withoutIntents }),
  },
  {
    name: 'fresh-token',
    lacks: 'the same client token for a repeated call',
    ports: () =>
      controller({
        cloud: cloud => {
          let n = 0
          return { ...cloud, createEni: r => cloud.createEni({ ...r, clientToken: `${r.clientToken}-${++n}` }) }
        },
      }),
  },
  {
    name: 'ack-while-leased',
    lacks: 'the refusal of a mark on a leased address',
    ports: () => ({ ...daemon({ kube: ackEverything }), surroundings: isolated }),
  },
  {
    name: 'reuse-while-dying',
    lacks: 'the wait for the kernel: a device counts as gone when its deletion is asked for',
    ports: () => daemon({ datapath: slowReaper }),
  },
  {
    name: 'del-by-pod',
    lacks: 'the container in DEL: the late one of a former sandbox ends what the pod has now',
    ports: () => daemon({ handler: delByPod }),
  },
  {
    name: 'no-late-window',
    lacks: 'the wait for calls without verdict before an address is forgotten',
    ports: () => ({ ...controller({ options: { windows: { lag: 30_000, late: 0 } } }), surroundings: manyLateCalls }),
  },
  {
    name: 'trust-describe',
    lacks: 'the distrust of a Describe that lags',
    ports: () => ({ ...controller({ options: { windows: { lag: 0, late: 60_000 }, syncPeriod: 5_000 } }), surroundings: longLag }),
  },
  {
    name: 'half-a-pair',
    lacks: 'the IPv6 half of a lease with two addresses in the ledger',
    ports: () => daemon({ ledger: halfLeases }),
  },
  {
    name: 'forget-v6',
    lacks: 'the IPv6 addresses of what is given back',
    ports: () => controller({ decisions: { plan: withoutIpv6 } }),
  },
  {
    name: 'share-taken-eni',
    lacks: "the daemon's look at whether a pod has the ENI for itself",
    ports: () => ({ ...daemon({ kube: withoutEniMode }), surroundings: manyExtras }),
  },
  {
    name: 'fill-taken-eni',
    lacks: 'the limit of one address, or one pair, on the ENI that a pod has for itself',
    ports: () => controller({ decisions: { poolOf: facts => ({ ...poolOf(facts), mode: 'shared', capacity4: 10, capacity6: 10 }) } }),
  },
]

/** A daemon that takes every node for one whose pods share ENIs. */
function withoutEniMode(kube: Kube): Kube {
  const plain = <T extends KubeObject>(object: T): T => {
    const { [eniModeLabel]: _, ...labels } = object.metadata.labels ?? {}
    return object.metadata.labels?.[eniModeLabel] === undefined ? object : { ...object, metadata: { ...object.metadata, labels } }
  }
  return delegate(kube, {
    get: async (r, name, namespace) => {
      const found = await kube.get(r, name, namespace)
      return found && plain(found)
    },
    patch: async (r, name, patch, namespace) => plain(await kube.patch(r, name, patch, namespace)),
    watch: (r, s, handler) =>
      kube.watch(r, s, {
        replaced: items => handler.replaced(items.map(plain)),
        applied: item => handler.applied(plain(item)),
        deleted: item => handler.deleted(plain(item)),
        interrupted: reason => handler.interrupted?.(reason),
      }),
  })
}

function halfLeases(ledger: Ledger): Ledger {
  const half = (change: LedgerChange): LedgerChange => {
    if (!('put' in change) || change.put !== 'lease' || change.lease.attachment.v4 === undefined) return change
    const { v6: _, ...attachment } = change.lease.attachment
    return { put: 'lease', lease: { ...change.lease, attachment } }
  }
  return { load: () => ledger.load(), commit: changes => ledger.commit(changes.map(half)), close: () => ledger.close() }
}

function withoutIpv6(input: PlanInput): Plan {
  const whole = plan(input)
  return { ...whole, actions: whole.actions.map(a => (a.do === 'unassign' ? { ...a, ipv6: [] } : a)) }
}

function withStates(pool: Pool, state: (s: PoolAddress['state']) => PoolAddress['state']): Pool {
  return { ...pool, enis: pool.enis.map(e => ({ ...e, addresses: e.addresses.map(a => ({ ...a, state: state(a.state) })) })) }
}

/** The controller believes that its intents are written; the server never sees them. */
function withoutIntents(kube: Kube): Kube {
  const remembered = new Map<string, NodeStatus['intents']>()
  const restore = <T extends KubeObject>(plural: string, object: T): T => {
    const intents = remembered.get(object.metadata.name)
    if (plural !== nodeCrs.plural || intents === undefined || !('status' in object)) return object
    return { ...object, status: { ...(object.status as object), intents } }
  }
  return delegate(kube, {
    get: async (r, name, namespace) => {
      const found = await kube.get(r, name, namespace)
      return found === undefined ? undefined : restore(r.group === nodeCrs.group ? r.plural : '', found)
    },
    patch: async (r, name, patch, namespace) => {
      if (r.group !== nodeCrs.group || r.plural !== nodeCrs.plural) return kube.patch(r, name, patch, namespace)
      const { status, ...rest } = patch.body as { readonly status?: { readonly intents?: Record<string, unknown> } }
      const { intents, ...others } = status ?? {}
      if (intents !== undefined) {
        const next = Object.fromEntries(Object.entries({ ...remembered.get(name), ...intents }).filter(([, v]) => v !== null))
        remembered.set(name, next as NodeStatus['intents'])
      }
      const body = status === undefined ? rest : { ...rest, status: others }
      return restore(r.plural, await kube.patch(r, name, { ...patch, body }, namespace))
    },
  })
}

/** Reports `acked` whatever the ledger says. */
function ackEverything(kube: Kube): Kube {
  return delegate(kube, {
    patch: (r, name, patch, namespace) => {
      const body = JSON.parse(JSON.stringify(patch.body).replaceAll('"refused"', '"acked"')) as unknown
      return kube.patch(r, name, r.plural === nodeRuntimes.plural ? { ...patch, body } : patch, namespace)
    },
  })
}

/** Says that devices are gone a minute before they are. */
function slowReaper(d: Datapath): Datapath {
  const asked = new Map<IfName, number>()
  return {
    setNode: (node, held) => d.setNode(node, held),
    setup: a => d.setup(a),
    diff: a => d.diff(a),
    differing: all => d.differing(all),
    withdraw: a => d.withdraw(a),
    inventory: () => d.inventory(),
    removeLeftovers: left => d.removeLeftovers(left),
    onChange: callback => d.onChange(callback),
    close: () => d.close(),
    reap: async links => {
      for (const link of links) asked.set(link, (asked.get(link) ?? 0) + 1)
      const due = [...asked].filter(([link]) => !links.includes(link)).map(([link]) => link)
      if (due.length > 20) await d.reap(due)
      return { gone: links, remaining: [] }
    },
  }
}

function delByPod(handler: CniHandler): CniHandler {
  const podOf = new Map<string, string>()
  const last = new Map<string, string>()
  return (request, received) => {
    if (request.verb === 'ADD') {
      const pod = `${request.pod.namespace}/${request.pod.name}`
      podOf.set(request.containerId, pod)
      last.set(pod, request.containerId)
    }
    if (request.verb !== 'DEL') return handler(request, received)
    const containerId = last.get(podOf.get(request.containerId) ?? '') ?? request.containerId
    return handler({ ...request, containerId }, received)
  }
}
