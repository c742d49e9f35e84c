// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { getOverSocket } from '#rpc/http/get.ts'
import { listenMetadata } from '../../sim/metadata.ts'
import { world as simulatedCloud } from '../../sim/testing.ts'
import { NetnsNode } from '../support/netns-node.ts'
import { until } from '../support/until.ts'

const skip = process.getuid?.() !== 0 && 'needs root'
const run = promisify(execFile)
const main = join(import.meta.dirname, '../../src/cli/main.ts')

/** terway-cli as people run it: a process of its own. */
async function cli(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  // Nothing that this machine's own cluster could answer.
  const { stdout } = await run(process.execPath, [main, ...args], { env: { PATH: process.env.PATH, KUBECONFIG: '/nonexistent', ...env } })
  return stdout.trimEnd()
}

test('terway-cli and the metrics of a terwayd that has served a pod', { skip }, async () => {
  await using node = new NetnsNode(['10.0.0.1', '10.0.0.2'])
  const at = (name: string) => join(node.dir, name)
  const exposed = { grpcSocket: at('eni.socket'), debug: `unix://${at('debug.socket')}`, probes: `unix://${at('probes.socket')}` }
  await node.started({ exposed })
  node.cluster.pod('web')
  assert.equal((await node.add('web')).exit, 0)
  const ask = (...args: string[]) => cli(['--socket', exposed.grpcSocket, ...args])

  assert.equal(await ask('list'), '• network_service')
  assert.equal(await ask('list', 'network_service'), '• default')
  const shown = await ask('show', 'network_service')
  assert.match(shown, /^network_service\/default\n/)
  assert.match(shown, /─ daemon_mode: ENIMultiIP\n/)
  assert.match(shown, /─ binding: local: /)
  assert.match(shown, /─ web\n.*─ resources: held 02:00:00:00:00:01\.10\.0\.0\.1$/m)
  const why = await ask('why', 'default/web')
  assert.match(why, /^default\/web: leased\ncontainer c-web has 10\.0\.0\.1 of ENI eni-1: held since /)
  assert.match(await ask('mapping'), /─ 10\.0\.0\.1 held default\/web\n/)
  assert.match(await ask('why', 'default/nobody'), /^default\/nobody: unknown\n/)

  for (const path of ['/healthz', '/readyz'])
    assert.deepEqual(await getOverSocket(at('probes.socket'), path), { status: 200, body: 'ok\n' })
  const { body } = await getOverSocket(at('probes.socket'), '/metrics')
  for (const phase of ['parse', 'pod', 'lease', 'ledger', 'kernel', 'total'])
    assert.match(body, new RegExp(`^terway_cni_add_phase_seconds_count{phase="${phase}"} 1$`, 'm'))
  assert.match(body, /^terway_cni_requests_total{verb="ADD",code="0"} 1$/m)
  assert.match(body, /^terway_resource_pool_allocated_count{type="local"} 1$/m)

  await node.del('c-web')
  await until(async () => (await ask('why', 'default/web')).startsWith('default/web: unknown\n'))
})

test("terway-cli metadata against the cloud's own service", async () => {
  const cloud = simulatedCloud()
  const { port } = await listenMetadata(cloud.simulator, { host: '127.0.0.1', port: 0, loopbackAs: 'node-1', tokens: 'required' })
  try {
    const shown = await cli(['metadata'], { ALIBABA_CLOUD_IMDS_ENDPOINT: `http://127.0.0.1:${port}` })
    const { mac } = cloud.instance.primary
    assert.match(shown, new RegExp(`^vsw-a\n└─ eni-\\S+ \\(${mac}\\)\n   ├─ primary: true\n   └─ primary_ipv4: 10\\.`))
  } finally {
    await cloud.simulator.stop()
  }
})
