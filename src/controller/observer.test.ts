// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloudError } from '#cloud/errors.ts'
import { cloudObserver, controllerObserver, showControllers } from '#controller/observer.ts'
import { silent } from '#lib/log.ts'
import { controllerMetrics } from '#lib/metrics.ts'

test("every one of the controller's metrics is fed", async () => {
  const m = controllerMetrics()
  showControllers(m, 7)
  const cloud = cloudObserver(m, silent)
  cloud.called('AttachNetworkInterface', 30, undefined)
  cloud.waited('AttachNetworkInterface', 40, 'pod', 'node-1')
  const observer = controllerObserver(m)
  observer.reconciled('round', 'node-1', 5)
  observer.adjusted('node-1')
  observer.synced('node-1')
  observer.attaching('node-1', 5)
  observer.attaching('node-2', 1)
  observer.attaching('node-1', 1)
  observer.attached('success', 'Secondary', 1_500)
  const text = await m.registry.metrics()
  for (const line of [
    'aliyun_openapi_latency_sum{api="AttachNetworkInterface",error="false"} 30',
    'rate_limiter_latency_sum{api="AttachNetworkInterface"} 40',
    'terway_controlplane_config_info{controller="node",max_concurrent="7"} 1',
    'terway_controlplane_config_info{controller="multi-ip-node",max_concurrent="7"} 1',
    'terway_controlplane_config_info{controller="multi-ip-pod",max_concurrent="7"} 1',
    'controlplane_node_reconcile_latency_ms_sum{method="round",node="node-1"} 5',
    'gc_count_total{node="node-1"} 1',
    'sync_openapi_count_total{node="node-1"} 1',
    'terway_eni_task_queue_size{status="attaching"} 2',
    'terway_eni_attach_duration_seconds_sum{result="success",eni_type="Secondary"} 1.5',
  ])
    assert.ok(text.includes(`${line}\n`), line)
  const empty = (await m.registry.getMetricsAsJSON()).filter(metric => metric.values.length === 0)
  assert.deepEqual(empty, [])
})

test('a call that the cloud refused is logged with its request id, a long wait with who waited', () => {
  const said: unknown[] = []
  const observer = cloudObserver(controllerMetrics(), { ...silent, warn: (fields: object) => said.push(fields) })
  observer.called('X', 12.6, new CloudError('X', 'Forbidden.RAM', 'no', { httpStatus: 403, requestId: 'r-1' }))
  observer.called('X', 1, new CloudError('X', 'InvalidOperation.InvalidEniState', 'Creating', { httpStatus: 400 }))
  observer.waited('X', 4_999, 'pod', 'node-1')
  observer.waited('X', 5_000, 'pod', 'node-1')
  assert.equal(said.length, 2)
  const [refused] = said as readonly { readonly requestId?: string; readonly ms?: number }[]
  assert.deepEqual([refused?.requestId, refused?.ms], ['r-1', 13])
  assert.deepEqual(said[1], { api: 'X', priority: 'pod', who: 'node-1', ms: 5_000 })
})
