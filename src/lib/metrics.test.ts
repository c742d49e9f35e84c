// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { controllerMetrics, daemonMetrics, timed } from '#lib/metrics.ts'

/** Name → labels, as Terway's dashboards query them. */
const daemonNames = {
  terway_rpc_latency: ['rpc_api', 'error'],
  aliyun_metadata_latency: ['url', 'error'],
  terway_resource_pool_total_count: ['type', 'ipStack'],
  terway_resource_pool_idle_count: ['type', 'ipStack'],
  terway_resource_pool_disposed_count: ['type', 'ipStack'],
  terway_resource_pool_allocated_count: ['type'],
  terway_eniip_factory_eni_count: ['name', 'max_eni'],
  terway_eniip_factory_ip_count: ['name', 'eni', 'max_ip'],
  terway_eniip_factory_ip_alloc_count: ['eni', 'status'],
  terway_cni_add_phase_seconds: ['phase'],
  terway_cooling_waived_total: [],
} as const
const controllerNames = {
  aliyun_openapi_latency: ['api', 'error'],
  rate_limiter_latency: ['api'],
  terway_controlplane_config_info: ['controller', 'max_concurrent'],
  gc_count_total: ['node'],
  sync_openapi_count_total: ['node'],
  controlplane_node_reconcile_latency_ms: ['method', 'node'],
  terway_eni_task_queue_size: ['status'],
  terway_eni_attach_duration_seconds: ['result', 'eni_type'],
} as const

/** The labels that a metric accepts: prom-client keeps them in `labelNames`. */
function labelsOf(metric: unknown): readonly string[] {
  const names = (metric as { labelNames?: unknown }).labelNames
  assert.ok(Array.isArray(names))
  return names
}

test('the daemon publishes every name and label of Terway that it can feed', () => {
  assert.equal(daemonMetrics().registry.getSingleMetric('aliyun_openapi_latency'), undefined, 'the daemon makes no such call')
  const { registry } = daemonMetrics()
  for (const [name, labels] of Object.entries(daemonNames)) {
    const metric = registry.getSingleMetric(name)
    assert.ok(metric, `${name} is missing`)
    assert.deepEqual(labelsOf(metric), labels, name)
  }
})

test('the controller publishes every name and label that Terway publishes', () => {
  const { registry } = controllerMetrics()
  for (const [name, labels] of Object.entries(controllerNames)) {
    const metric = registry.getSingleMetric(name)
    assert.ok(metric, `${name} is missing`)
    assert.deepEqual(labelsOf(metric), labels, name)
  }
})

test('timed records milliseconds and whether the call failed, and passes result and error through', async () => {
  const m = daemonMetrics()
  let now = 0
  const clock = () => now
  const work = async (ms: number) => {
    now += ms
    return ms
  }
  assert.equal(await timed(m.rpcLatency, { rpc_api: 'AllocIP' }, clock, () => work(3)), 3)
  await assert.rejects(
    timed(m.rpcLatency, { rpc_api: 'AllocIP' }, clock, async () => {
      await work(40)
      throw new Error('no address')
    }),
    /no address/,
  )
  const text = await m.registry.metrics()
  assert.match(text, /terway_rpc_latency_sum\{rpc_api="AllocIP",error="false"\} 3\n/)
  assert.match(text, /terway_rpc_latency_sum\{rpc_api="AllocIP",error="true"\} 40\n/)
  assert.match(text, /terway_rpc_latency_bucket\{le="2",rpc_api="AllocIP",error="false"\} 0\n/)
  assert.match(text, /terway_rpc_latency_bucket\{le="4",rpc_api="AllocIP",error="false"\} 1\n/)
})

test('process figures are read at scrape time', async () => {
  const text = await controllerMetrics().registry.metrics()
  const rss = Number(/^process_resident_memory_bytes (\d+)$/m.exec(text)?.[1])
  assert.ok(rss > 10_000_000, `resident memory ${rss}`)
})
