// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cloudObserver, metricsObserver, showConfig } from '#controller/expose/observer.ts'
import { expose } from '#controller/expose/serve.ts'
import { silent } from '#lib/log.ts'
import { controllerMetrics } from '#lib/metrics.ts'

test('rounds and cloud calls are counted under the names that dashboards know', async () => {
  const m = controllerMetrics()
  const rounds = metricsObserver(m)
  rounds.reconciled('sync', 'node1', 12)
  rounds.adjusted('node1')
  rounds.attached('success', 'Secondary', 2500)
  rounds.attaching(2)
  cloudObserver(m).called('AssignPrivateIpAddresses', 40, undefined)
  cloudObserver(m).waited('AssignPrivateIpAddresses', 3, 'pod', 'node1')
  showConfig(m, { node: 10 })
  const text = await m.registry.metrics()
  for (const line of [
    'controlplane_node_reconcile_latency_ms_sum{method="sync",node="node1"} 12',
    'gc_count_total{node="node1"} 1',
    'terway_eni_attach_duration_seconds_sum{result="success",eni_type="Secondary"} 2.5',
    'terway_eni_task_queue_size{status="attaching"} 2',
    'aliyun_openapi_latency_sum{api="AssignPrivateIpAddresses",error="false"} 40',
    'rate_limiter_latency_sum{api="AssignPrivateIpAddresses"} 3',
    'terway_controlplane_config_info{controller="node",max_concurrent="10"} 1',
  ])
    assert.ok(text.includes(`${line}\n`), line)
})

test('metrics are served only where an address is given', async () => {
  const options = { healthzBindAddress: '127.0.0.1:0', ready: () => ({ ok: true }) }
  for (const metricsBindAddress of ['0', '127.0.0.1:0']) {
    const served = await expose({ ...options, metricsBindAddress }, controllerMetrics(), silent)
    await served.close()
  }
  await assert.rejects(expose({ ...options, metricsBindAddress: 'nowhere' }, controllerMetrics(), silent), { code: 'http-listen' })
})
