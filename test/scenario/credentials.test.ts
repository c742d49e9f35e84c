// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { instanceRole } from '#cloud/credentials.ts'
import { makeMetadata } from '#cloud/metadata.ts'
import { secretKey } from '#controller/secret-key.ts'
import { listenMetadata } from '#sim/metadata.ts'
import { goodKey, World } from './world.ts'

const cases = [
  {
    name: 'unknown access key id',
    key: { ...goodKey, accessKeyId: 'LTAI-typo' },
    told: /InvalidAccessKeyId\.NotFound.*accessKey in ctrl-secret\.yaml/,
  },
  {
    name: 'wrong secret',
    key: { ...goodKey, accessKeySecret: 'typo-secret' },
    told: /SignatureDoesNotMatch.*accessSecret in ctrl-secret\.yaml/,
  },
  {
    name: 'missing permission',
    key: { accessKeyId: 'LTAI-poor', accessKeySecret: 'poor-secret' },
    told: /Forbidden\.RAM.*ecs:DescribeInstanceTypes/,
  },
]
const secrets = [goodKey.accessKeySecret, 'typo-secret', 'poor-secret']

for (const { name, key, told } of cases) {
  test(`${name}: said on the node, no hot loop, heals without restart`, async () => {
    await using w = await World.make()
    w.key = key
    w.controlplane()
    const node = await w.join('node-1')
    node.add('pod-1', 'pod-2')
    await w.until(String(told), () => w.warnings('node-1').some(m => told.test(m)))
    assert.ok(
      w.log.some(line => told.test(line)),
      'and in the log',
    )
    await w.clock.advance(600_000)
    assert.ok(w.wire.sent.length < 60, `${w.wire.sent.length} calls in 10 minutes`)
    assert.deepEqual(w.enis(), [])

    w.key = goodKey
    await w.atRest(400_000)
    const everything = [...w.log, ...w.warnings('node-1')].join('\n')
    for (const secret of secrets) assert.ok(!everything.includes(secret), 'a secret is printed')
    assert.ok(!/Signature=/.test(everything), 'a signature is printed')
  })
}

test('a corrected Secret works without a restart', async () => {
  await using w = await World.make()
  const dir = mkdtempSync(join(tmpdir(), 'terway-secret-'))
  const path = join(dir, 'ctrl-secret.yaml')
  try {
    writeFileSync(path, 'accessKey: LTAI-good\naccessSecret: typo-secret\n')
    w.credentials = secretKey(path)
    w.controlplane()
    const node = await w.join('node-1')
    node.add('pod-1')
    await w.until('it is told', () => w.warnings('node-1').some(m => /accessSecret in ctrl-secret\.yaml/.test(m)))
    writeFileSync(path, 'accessKey: LTAI-good\naccessSecret: [')
    await w.until('a broken file is told', () => w.warnings('node-1').some(m => /NoCredentials: ctrl-secret\.yaml is not YAML/.test(m)))
    writeFileSync(path, 'accessKey: LTAI-good\naccessSecret: good-secret\n')
    await w.atRest()
    assert.ok(!w.log.join('').includes('typo-secret'))
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test("calls signed with the temporary key of the instance's role, which is renewed", async () => {
  const role = { name: 'controlplane', allow: ['*'] }
  const machine = { name: 'controlplane', type: 'ecs.lab.medium', vSwitch: 'vsw-nodes', securityGroups: ['sg-1'], role: role.name }
  await using w = await World.make({ roles: [role], instances: [machine] })
  const [instance] = w.simulator.instances()
  assert.ok(instance)
  const { port } = await listenMetadata(w.simulator, { host: '127.0.0.1', port: 0, loopbackAs: instance.instanceId })
  w.credentials = instanceRole(makeMetadata(w.clock, `127.0.0.1:${port}`, w.wire.as('metadata')), w.clock)
  const node = await w.oneNode()
  node.add('pod-1', 'pod-2')
  await w.atRest()
  const tokens = () => new Set(w.wire.sent.flatMap(s => (s.by === 'metadata' ? [] : [s.params.get('SecurityToken') ?? 'none'])))
  assert.equal(tokens().size, 1)
  assert.ok(!tokens().has('none'))
  // Longer than any one key is valid.
  await w.clock.advance(8 * 3_600_000)
  node.add('pod-3', 'pod-4', 'pod-5')
  await w.atRest()
  assert.ok(tokens().size > 1)
})

test('the permission is withdrawn while the cluster works', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  w.key = { accessKeyId: 'LTAI-poor', accessKeySecret: 'poor-secret' }
  node.add('pod-1', 'pod-2', 'pod-3')
  await w.until('it is told', () => w.warnings('node-1').some(m => /Forbidden\.RAM.*ecs:/.test(m)))
  const before = w.wire.sent.length
  await w.clock.advance(600_000)
  assert.ok(w.wire.sent.length - before < 60, `${w.wire.sent.length - before} calls in 10 minutes`)
  w.key = goodKey
  await w.atRest(400_000)
})

test('a wrong clock: the message says the clock', async () => {
  await using w = await World.make()
  const skew = w.simulator.addFault({ kind: 'clock-skew', ms: 3_600_000 })
  w.controlplane()
  const node = await w.join('node-1')
  node.add('pod-1')
  await w.until('it is told', () => w.warnings('node-1').some(m => /InvalidTimeStamp\.Expired.*clock.*15 minutes.*NTP/.test(m)))
  await w.clock.advance(600_000)
  assert.ok(w.wire.sent.length < 40, `${w.wire.sent.length} calls in 10 minutes`)
  w.simulator.clearFaults(skew)
  await w.atRest(400_000)
})
