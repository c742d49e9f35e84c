// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { crdVersionAnnotation } from '#kube/crd/definition.ts'
import { listenMetadata } from '#sim/metadata.ts'
import { until } from '../support/until.ts'
import { World } from './world.ts'

const main = new URL('../../src/controller/main.ts', import.meta.url).pathname

/** An API server that has CRDs of a newer version and a lease of another replica, and nothing else. */
async function apiServer() {
  const it = { away: true, port: 0, close: () => void server.close() }
  const server = createServer((q, a) => {
    const name = /\/customresourcedefinitions\/([^/?]+)/.exec(q.url ?? '')?.[1]
    if (it.away) return void a.writeHead(503).end('{}')
    if (name === undefined) return json(a, lease())
    const metadata = { name, annotations: { [crdVersionAnnotation]: 'v99.0.0' } }
    const status = { conditions: [{ type: 'Established', status: 'True' }] }
    json(a, { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata, spec: {}, status })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  it.port = address.port
  return it
}

function lease() {
  const spec = { holderIdentity: 'terway-ts_other', leaseDurationSeconds: 15, renewTime: new Date().toISOString() }
  return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'l', namespace: 'n' }, spec }
}

function json(a: ServerResponse, body: unknown): void {
  a.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

/** Status and text of a GET over a unix socket; undefined while nobody serves it. */
function get(socketPath: string, path: string): Promise<string | undefined> {
  return new Promise(resolve => {
    const q = request({ socketPath, path }, reply => {
      let text = `${reply.statusCode} `
      reply.on('data', chunk => {
        text += chunk
      })
      reply.on('end', () => resolve(text))
    })
    q.on('error', () => resolve(undefined))
    q.end()
  })
}

test('the controller starts before the metadata service and the API server: it lives, and says what it waits for', async () => {
  await using w = await World.make()
  const api = await apiServer()
  const { port } = await listenMetadata(w.simulator, { host: '127.0.0.1', port: 0, loopbackAs: w.instance('controlplane') })
  const outage = w.simulator.addFault({ kind: 'metadata-outage' })
  const dir = mkdtempSync(join(tmpdir(), 'terway-start-'))
  const socket = join(dir, 'health.sock')
  writeFileSync(join(dir, 'config.yaml'), `clusterID: c\nvpcID: v\nhealthzBindAddress: unix://${socket}\n`)
  const cluster = `clusters: [{name: c, cluster: {server: 'http://127.0.0.1:${api.port}'}}]`
  const context = 'contexts: [{name: x, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {token: t}}]\ncurrent-context: x'
  writeFileSync(join(dir, 'kubeconfig'), `${cluster}\n${context}\n`)
  const env = { PATH: process.env.PATH, KUBECONFIG: join(dir, 'kubeconfig'), ALIBABA_CLOUD_IMDS_ENDPOINT: `127.0.0.1:${port}` }
  const child = spawn(process.execPath, [main, '-config', join(dir, 'config.yaml')], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  const answers = (path: string, what: RegExp) => async () => what.test((await get(socket, path)) ?? '')
  try {
    await until(answers('/readyz', /^503 the metadata service has not told the region/))
    assert.equal(await get(socket, '/healthz'), '200 ok\n')
    w.simulator.clearFaults(outage)
    await until(answers('/readyz', /^503 the CRDs are not installed/))
    assert.equal(await get(socket, '/healthz'), '200 ok\n')
    api.away = false
    await until(answers('/readyz', /^200 ok/))
    assert.equal(child.exitCode, null)
  } finally {
    child.kill('SIGKILL')
    api.close()
    rmSync(dir, { recursive: true })
  }
})
