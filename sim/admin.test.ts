// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { listenAdmin, requireNobody } from './admin.ts'
import type { FabricView } from './model/view.ts'
import { world } from './testing.ts'

async function admin(t: { after(fn: () => unknown): void }) {
  const dir = mkdtempSync(join(tmpdir(), 'sim-admin-'))
  const socketPath = join(dir, 'admin.sock')
  const it = world()
  await requireNobody(socketPath)
  await listenAdmin(it.simulator, socketPath)
  t.after(async () => {
    await it.simulator.stop()
    rmSync(dir, { recursive: true })
  })
  const ask = (method: string, path: string, body?: unknown) =>
    new Promise<{ status: number | undefined; body: Record<string, unknown> & unknown[] }>((resolve, reject) => {
      const outgoing = request({ socketPath, method, path }, async response => {
        let text = ''
        for await (const chunk of response) text += chunk
        resolve({ status: response.statusCode, body: JSON.parse(text) })
      })
      outgoing.on('error', reject)
      outgoing.end(body === undefined ? undefined : JSON.stringify(body))
    })
  return { ...it, ask, socketPath }
}

test('the operator makes and ends instances, faults and emptiness', async t => {
  const { ask, simulator, socketPath } = await admin(t)
  assert.equal(statSync(socketPath).mode & 0o777, 0o600)
  await assert.rejects(requireNobody(socketPath), /another simulator/)
  const made = await ask('POST', '/instances', { name: 'n2', type: 'ecs.lab.medium', vSwitchId: 'vsw-b', securityGroupIds: ['sg-1'] })
  const id = String(made.body.instanceId)
  assert.equal((await ask('GET', '/instances')).body.length, 2)
  await ask('POST', `/instances/${id}/stop`)
  assert.equal(simulator.instances().find(one => one.instanceId === id)?.running, false)
  await ask('DELETE', `/instances/${id}`)
  assert.equal(simulator.instances().length, 1)
  assert.deepEqual((await ask('DELETE', `/instances/${id}`)).status, 404)
  assert.equal((await ask('POST', '/instances', { name: 'n' })).status, 400)
  assert.deepEqual((await ask('POST', '/faults', { kind: 'throttle' })).body, { id: 'f1' })
  assert.deepEqual((await ask('DELETE', '/faults/f1')).body, { cleared: 1 })
  await ask('POST', '/vswitches/vsw-a/exhaust')
  assert.equal(simulator.store.state.get('vSwitch', 'vsw-a')?.exhausted, true)
  assert.equal((await ask('GET', '/nothing')).status, 404)
  assert.doesNotMatch(JSON.stringify((await ask('GET', '/state')).body), /"secret":"secret"/)
})

test('the view streams one line per change', async t => {
  const { socketPath, simulator, instance } = await admin(t)
  const lines: FabricView[] = []
  const third = Promise.withResolvers<void>()
  const outgoing = request({ socketPath, path: '/view?stream' }, response => {
    // Destroying the request below aborts the response.
    response.on('error', () => undefined)
    let rest = ''
    response.on('data', (chunk: Buffer) => {
      const whole = (rest + chunk).split('\n')
      rest = whole.pop() ?? ''
      for (const line of whole) {
        lines.push(JSON.parse(line))
        if (lines.length === 1) simulator.stopInstance(instance.instanceId)
        if (lines.length === 2) simulator.deleteInstance(instance.instanceId)
        if (lines.length === 3) third.resolve()
      }
    })
  })
  outgoing.end()
  await third.promise
  outgoing.destroy()
  assert.deepEqual(
    lines.map(view => view.instances.map(one => one.running)),
    [[true], [false], []],
  )
  assert.deepEqual(
    lines.map(view => view.enis.length),
    [1, 1, 0],
  )
})
