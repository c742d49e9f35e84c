// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { callCni } from '../support/cni-client.ts'
import { until } from '../support/until.ts'

const skip = process.getuid?.() !== 0 && 'needs root'
const main = join(import.meta.dirname, '../../src/daemon/main.ts')

/** An own /run and /var/lib, and an own network: nothing of the machine is touched. */
const isolate = 'ip link set lo up && mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib && exec "$@"'

test('the program itself: it serves without an API server, keeps a second one out, and stops when told', {
  skip,
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'terwayd-main-'))
  const kubeconfig = join(dir, 'kubeconfig')
  writeFileSync(kubeconfig, kubeconfigTo('https://127.0.0.1:1'))
  const args = ['-config', join(dir, 'eni_conf'), '-log-level=error', '--kubeconfig', kubeconfig]
  const env = { ...process.env, NODE_NAME: 'n1', POD_NAMESPACE: 'kube-system' }
  const child = spawn('unshare', ['-m', '-n', 'sh', '-c', isolate, 'sh', process.execPath, main, ...args], { env, stdio: 'inherit' })
  try {
    const root = `/proc/${child.pid}/root`
    const socket = `${root}/run/eni/cni.socket`
    await until(() => existsSync(socket))
    const status = await callCni(socket, { command: 'STATUS' })
    assert.equal(status.body?.code, 50)
    assert.match(status.body?.msg ?? '', /terwayd is not ready/)
    assert.ok(existsSync(`${root}/var/lib/cni/terway/ledger.db`))
    await until(() => existsSync(`${root}/run/eni/eni.socket`) && existsSync(`${root}/run/eni/eni_debug.socket`))
    assert.equal((await callCni(socket, { command: 'DEL', containerId: 'unknown' })).exit, 0)

    const second = spawn('nsenter', ['-t', String(child.pid), '-m', '-n', process.execPath, main, ...args], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    second.stdout.on('data', chunk => {
      said += chunk
    })
    assert.equal(await new Promise(resolve => second.once('exit', resolve)), 1)
    assert.match(said, /another terwayd holds \/var\/run\/eni\/terwayd.lock/)
    assert.equal((await callCni(socket, { command: 'STATUS' })).body?.code, 50, 'the first one still serves')

    const exited = new Promise(resolve => child.once('exit', resolve))
    child.kill('SIGTERM')
    assert.equal(await exited, 0)
  } finally {
    child.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  }
})

test('when it cannot listen for probes it ends, so that the next one is started', { skip }, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'terwayd-main-'))
  const kubeconfig = join(dir, 'kubeconfig')
  writeFileSync(kubeconfig, kubeconfigTo('https://127.0.0.1:1'))
  // No address of the new network namespace.
  const env = { ...process.env, NODE_NAME: 'n1', TERWAY_PROBE_LISTEN: '192.0.2.1:9129' }
  const args = ['-config', join(dir, 'eni_conf'), '--kubeconfig', kubeconfig]
  const child = spawn('unshare', ['-m', '-n', 'sh', '-c', isolate, 'sh', process.execPath, main, ...args], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  child.stdout.on('data', chunk => {
    said += chunk
  })
  try {
    await until(() => child.exitCode !== null)
    assert.equal(child.exitCode, 1)
    assert.match(said, /terwayd cannot start/)
  } finally {
    child.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  }
})

function kubeconfigTo(server: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'u', user: { token: 't' } }],
  })
}
