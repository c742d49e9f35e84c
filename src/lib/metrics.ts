// SPDX-License-Identifier: Apache-2.0
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

/** Milliseconds, 1 ms … 131 s: local calls and cloud calls share these bounds, so that they can be compared. */
const msBuckets = Array.from({ length: 18 }, (_, i) => 2 ** i)
/** Seconds, 0.1 ms … 13 s: an ADD takes a few milliseconds and waits at most seconds. */
const phaseBuckets = Array.from({ length: 18 }, (_, i) => 0.0001 * 2 ** i)

export interface OpenApiMetrics {
  /** Milliseconds; error is "true" or "false" as in Terway. */
  readonly openApiLatency: Histogram<'api' | 'error'>
}

/** Without `aliyun_openapi_latency`: the daemon never calls the cloud's API, and a metric that stays empty says that nothing went wrong. */
export interface DaemonMetrics {
  readonly registry: Registry
  readonly rpcLatency: Histogram<'rpc_api' | 'error'>
  readonly metadataLatency: Histogram<'url' | 'error'>
  readonly poolTotal: Gauge<'type' | 'ipStack'>
  readonly poolIdle: Gauge<'type' | 'ipStack'>
  readonly poolDisposed: Counter<'type' | 'ipStack'>
  readonly poolAllocated: Gauge<'type'>
  readonly factoryEniCount: Gauge<'name' | 'max_eni'>
  readonly factoryIpCount: Gauge<'name' | 'eni' | 'max_ip'>
  readonly factoryIpAlloc: Counter<'eni' | 'status'>
  /** Seconds spent in each step of CNI ADD; the phase `total` is the whole. */
  readonly addPhase: Histogram<'phase'>
  readonly cniRequests: Counter<'verb' | 'code'>
  /** Rounds that found a difference between what leases want and the kernel, and operations that closed it. */
  readonly repairRounds: Counter<'result'>
  readonly repairOps: Counter<'kind'>
  /** Addresses given to a waiting pod before their 30 s of cooling were over, because nothing else was idle. */
  readonly coolingWaived: Counter
  /** 1 for the way in which the node forwards. */
  readonly datapathInfo: Gauge<'type'>
  /** Of the programs' tables of connections, sampled. */
  readonly tableEntries: Gauge<'table'>
  readonly tableRoom: Gauge<'table'>
  readonly tableEvictions: Counter<'table'>
  readonly flowsMade: Counter<'what' | 'protocol'>
  readonly podFlows: Gauge<'namespace' | 'pod'>
  readonly packets: Counter<'path'>
  readonly drops: Counter<'reason'>
}

/** The daemon's metrics under Terway's names, in a registry of their own, plus what Terway does not measure. */
export function daemonMetrics(): DaemonMetrics {
  const registry = new Registry()
  processMetrics(registry)
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Gauge({ name, help, labelNames, registers: [registry] })
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter({ name, help, labelNames, registers: [registry] })
  return {
    registry,
    rpcLatency: milliseconds(registry, 'terway_rpc_latency', 'time to answer a CNI verb or gRPC call, ms', ['rpc_api', 'error']),
    metadataLatency: milliseconds(registry, 'aliyun_metadata_latency', 'time of a call to the instance metadata service, ms', [
      'url',
      'error',
    ]),
    poolTotal: gauge('terway_resource_pool_total_count', 'addresses on this node', ['type', 'ipStack']),
    poolIdle: gauge('terway_resource_pool_idle_count', 'addresses that a pod could take now', ['type', 'ipStack']),
    poolDisposed: counter(
      'terway_resource_pool_disposed_count',
      'addresses that the daemon has let go of, for the controller to give back',
      ['type', 'ipStack'],
    ),
    poolAllocated: gauge('terway_resource_pool_allocated_count', 'addresses held by pods', ['type']),
    factoryEniCount: gauge('terway_eniip_factory_eni_count', 'ENIs of the pool', ['name', 'max_eni']),
    factoryIpCount: gauge('terway_eniip_factory_ip_count', 'addresses of each ENI', ['name', 'eni', 'max_ip']),
    factoryIpAlloc: counter('terway_eniip_factory_ip_alloc_count', 'leases made, by ENI and outcome', ['eni', 'status']),
    addPhase: new Histogram({
      name: 'terway_cni_add_phase_seconds',
      help: 'time spent in each step of CNI ADD, s',
      labelNames: ['phase'],
      buckets: phaseBuckets,
      registers: [registry],
    }),
    cniRequests: counter('terway_cni_requests_total', 'CNI verbs answered, by CNI error code (0 = success)', ['verb', 'code']),
    repairRounds: counter('terway_repair_rounds_total', 'comparisons of leases with the kernel: clean, repaired or failed', ['result']),
    repairOps: counter('terway_repair_operations_total', 'kernel operations made by repair, by kind', ['kind']),
    coolingWaived: counter('terway_cooling_waived_total', 'addresses leased before their cooling was over', []),
    datapathInfo: gauge('terway_datapath_info', 'how the node forwards: veth or datapathv2', ['type']),
    tableEntries: gauge('terway_datapath_table_entries', "entries of the programs' tables of connections, sampled each minute", ['table']),
    tableRoom: gauge('terway_datapath_table_room', "most entries that each of the programs' tables of connections takes", ['table']),
    tableEvictions: counter('terway_datapath_evicted_entries_total', 'entries that a table of connections had no room for any more', [
      'table',
    ]),
    flowsMade: counter('terway_datapath_new_flows_total', 'flows that began, by what was decided of them', ['what', 'protocol']),
    podFlows: gauge('terway_datapath_pod_flows', 'flows of the ten pods that have most, sampled each minute', ['namespace', 'pod']),
    packets: counter('terway_datapath_packets_total', 'packets that the programs looked at, by the way that they went', ['path']),
    drops: counter('terway_datapath_drops_total', 'packets that the programs dropped, by reason', ['reason']),
  }
}

export interface ControllerMetrics extends OpenApiMetrics {
  readonly registry: Registry
  /** Milliseconds that a call waited for its API's budget. */
  readonly rateLimiterLatency: Histogram<'api'>
  readonly configInfo: Gauge<'controller' | 'max_concurrent'>
  readonly gcCount: Counter<'node'>
  readonly syncOpenApiCount: Counter<'node'>
  readonly nodeReconcileLatency: Histogram<'method' | 'node'>
  readonly eniTaskQueueSize: Gauge<'status'>
  readonly eniAttachDuration: Histogram<'result' | 'eni_type'>
}

/** The controller's metrics under Terway's names, in a registry of their own. */
export function controllerMetrics(): ControllerMetrics {
  const registry = new Registry()
  processMetrics(registry)
  return {
    registry,
    openApiLatency: openApiLatency(registry),
    rateLimiterLatency: milliseconds(registry, 'rate_limiter_latency', "time a cloud call waited for its API's budget, ms", ['api']),
    configInfo: new Gauge({
      name: 'terway_controlplane_config_info',
      help: 'which controllers run, and with how many workers',
      labelNames: ['controller', 'max_concurrent'],
      registers: [registry],
    }),
    gcCount: new Counter({ name: 'gc_count_total', help: 'pool adjustments made, by node', labelNames: ['node'], registers: [registry] }),
    syncOpenApiCount: new Counter({
      name: 'sync_openapi_count_total',
      help: 'comparisons of a node with the cloud',
      labelNames: ['node'],
      registers: [registry],
    }),
    nodeReconcileLatency: milliseconds(registry, 'controlplane_node_reconcile_latency_ms', 'time of one reconcile step, ms', [
      'method',
      'node',
    ]),
    eniTaskQueueSize: new Gauge({
      name: 'terway_eni_task_queue_size',
      help: 'ENI attachments under way',
      labelNames: ['status'],
      registers: [registry],
    }),
    eniAttachDuration: new Histogram({
      name: 'terway_eni_attach_duration_seconds',
      help: 'from the request to attach an ENI until it is seen InUse, s',
      labelNames: ['result', 'eni_type'],
      buckets: [0.5, 1, 2, 3, 5, 8, 13, 21, 34, 60, 120],
      registers: [registry],
    }),
  }
}

export interface PolicyMetrics {
  readonly registry: Registry
  /** Seconds from the event of a watch until the maps have what it changed. */
  readonly sync: Histogram
  readonly written: Counter
  /** By map: entries that are wanted. */
  readonly entries: Gauge<'map'>
  readonly pending: Gauge
  /** 1 when every Service is in the maps. */
  readonly synced: Gauge
  readonly mapErrors: Counter<'map' | 'errno'>
  /** Entries that somebody else changed, took away or put there. */
  readonly repairs: Counter<'map' | 'damage'>
  /** How often terwayd has made other maps. */
  readonly renewals: Counter
  /** Objects that exist and cannot be read: what was known of them stays. */
  readonly unreadable: Gauge<'kind'>
}

/** terway-policy's metrics, in a registry of their own. */
export function policyMetrics(): PolicyMetrics {
  const registry = new Registry()
  processMetrics(registry)
  const registers = [registry]
  return {
    registry,
    sync: new Histogram({
      name: 'terway_policy_sync_seconds',
      help: 'from the event of a watch until the maps have it, s',
      buckets: phaseBuckets,
      registers,
    }),
    written: new Counter({ name: 'terway_policy_written_entries_total', help: 'entries of maps put or taken away', registers }),
    entries: new Gauge({ name: 'terway_policy_entries', help: 'entries of Services, by map', labelNames: ['map'], registers }),
    pending: new Gauge({ name: 'terway_policy_pending_entries', help: 'entries that are not in the maps yet', registers }),
    synced: new Gauge({ name: 'terway_policy_synced', help: '1 when every Service is in the maps', registers }),
    mapErrors: new Counter({
      name: 'terway_policy_map_errors_total',
      help: 'writes that the kernel refused; they are tried again',
      labelNames: ['map', 'errno'],
      registers,
    }),
    repairs: new Counter({
      name: 'terway_policy_repairs_total',
      help: 'entries found changed, missing or foreign, and put right',
      labelNames: ['map', 'damage'],
      registers,
    }),
    renewals: new Counter({ name: 'terway_policy_map_renewals_total', help: 'times that the maps were made anew', registers }),
    unreadable: new Gauge({
      name: 'terway_policy_unreadable_objects',
      help: 'Services, EndpointSlices and nodes that cannot be read; what was known of them stays',
      labelNames: ['kind'],
      registers,
    }),
  }
}

/** Runs `fn` and records its time in ms with `error` = whether it threw; the result or the error passes through. */
export async function timed<L extends string, T>(
  histogram: Histogram<L | 'error'>,
  labels: Record<L, string>,
  now: () => number,
  fn: () => Promise<T>,
): Promise<T> {
  const start = now()
  let error = 'true'
  try {
    const result = await fn()
    error = 'false'
    return result
  } finally {
    histogram.observe({ ...labels, error } as Record<L | 'error', string>, now() - start)
  }
}

function milliseconds<L extends string>(registry: Registry, name: string, help: string, labelNames: readonly L[]): Histogram<L> {
  return new Histogram({ name, help, labelNames, buckets: msBuckets, registers: [registry] })
}

function openApiLatency(registry: Registry): Histogram<'api' | 'error'> {
  return milliseconds(registry, 'aliyun_openapi_latency', 'time of a cloud API call, ms', ['api', 'error'])
}

/** Read at each scrape: no timer runs in an idle process. */
function processMetrics(registry: Registry): void {
  const read = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(value())
      },
    })
  read('process_resident_memory_bytes', 'resident memory', () => process.memoryUsage.rss())
  read('process_cpu_seconds_total', 'CPU time, user and system', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  })
  read('process_start_time_seconds', 'start of the process, Unix time', () => Math.round(performance.timeOrigin / 1000))
}
