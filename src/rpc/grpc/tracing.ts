// SPDX-License-Identifier: Apache-2.0
import { LeaseRefused } from '#rpc/grpc/backend.ts'
import type { KeyValue, MappingReply, ResourceDBEntry, ResourceMapping, TypeNameRequest } from '#rpc/grpc/messages.ts'
import type { DaemonSnapshot, EniRow, Introspection } from '#rpc/grpc/port.ts'

/** The daemon registers one resource with Terway's tracing. */
export const resourceType = 'network_service'
export const resourceName = 'default'
/** What ResourceExecute understands; `mapping` and `resdb` are Terway's, `why <namespace>/<pod>` is ours. */
export const commands = ['mapping', 'resdb', 'why'] as const

/** TerwayTracing's unary calls, answered from one snapshot each. */
export function tracingHandlers(daemon: Introspection) {
  return {
    GetResourceTypes: async () => ({ TypeNames: [resourceType] }),
    GetResources: async (r: { readonly Name: string }) => {
      known({ Type: r.Name, Name: resourceName })
      return { ResourceNames: [resourceName] }
    },
    GetResourceConfig: async (r: TypeNameRequest) => {
      known(r)
      return { Config: keyValues(daemon.snapshot().config) }
    },
    GetResourceTrace: async (r: TypeNameRequest) => {
      known(r)
      return { Trace: traceOf(daemon.snapshot()) }
    },
    GetResourceMapping: async (): Promise<MappingReply> => {
      const s = daemon.snapshot()
      return { info: s.enis.map(mappingOf), resource_db: resourceDb(s) }
    },
  }
}

/** ResourceExecute: the lines of one command's output. */
export async function* execute(
  daemon: Introspection,
  r: TypeNameRequest & { Command: string; Args: readonly string[] },
): AsyncGenerator<string> {
  known(r)
  switch (r.Command) {
    case 'mapping':
      for (const eni of daemon.snapshot().enis) yield JSON.stringify(mappingOf(eni))
      return
    case 'resdb':
      for (const entry of resourceDb(daemon.snapshot())) yield JSON.stringify(entry)
      return
    case 'why': {
      const [namespace, name, ...rest] = (r.Args[0] ?? '').split('/')
      if (!namespace || !name || rest.length > 0) throw new LeaseRefused('InvalidArgs', 'why needs one argument, <namespace>/<pod>')
      yield* await daemon.why(namespace, name)
      return
    }
    default:
      throw new LeaseRefused('InvalidArgs', `can not recognize command ${r.Command}; known are ${commands.join(', ')}`)
  }
}

function known(r: TypeNameRequest): void {
  if (r.Type !== resourceType) throw new LeaseRefused('InvalidArgs', `no resource type ${r.Type}; the only one is ${resourceType}`)
  if (r.Name !== resourceName) throw new LeaseRefused('InvalidArgs', `no ${r.Type} ${r.Name}; the only one is ${resourceName}`)
}

function traceOf(s: DaemonSnapshot): KeyValue[] {
  const pods = s.leases.map(l => ({
    Key: `pods/${l.namespace}/${l.name}/resources`,
    Value: `${l.state} ${l.eniMac}.${[l.ipv4, l.ipv6].filter(ip => ip !== undefined).join('-')}`,
  }))
  const waiting = s.waiting.map(w => ({ Key: `pending_pods/${w.namespace}/${w.name}`, Value: `${w.step}: ${w.reason}` }))
  return [{ Key: 'pending_pods_count', Value: String(s.waiting.length) }, ...keyValues(s.trace), ...waiting, ...pods]
}

/** Addresses as `ip use [pod]`, so that a client without knowledge of our states can print them. */
function mappingOf(eni: EniRow): ResourceMapping {
  return {
    NetworkInterfaceID: eni.id,
    MAC: eni.mac,
    Type: eni.type,
    AllocInhibitExpireAt: '',
    Status: eni.status,
    Info: [
      ...eni.addresses.map(a =>
        [a.ip, a.use, a.primary ? 'primary' : '', a.status === 'Valid' ? '' : a.status, a.podId ?? ''].filter(Boolean).join(' '),
      ),
      ...eni.conditions,
    ],
    ipv4_prefixes: [],
    ipv6_prefixes: [],
  }
}

function resourceDb(s: DaemonSnapshot): ResourceDBEntry[] {
  return s.leases.map(l => ({
    pod_name: l.name,
    pod_namespace: l.namespace,
    eni_id: l.eniId,
    eni_mac: l.eniMac,
    ipv4: l.ipv4 ?? '',
    ipv6: l.ipv6 ?? '',
    type: l.exclusive ? 'eni' : 'eniIp',
  }))
}

function keyValues(record: Readonly<Record<string, string>>): KeyValue[] {
  return Object.entries(record).map(([Key, Value]) => ({ Key, Value }))
}
