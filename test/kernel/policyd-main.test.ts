// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { getOverSocket } from '#rpc/http/get.ts'
import { until } from '../support/until.ts'

const skip = process.getuid?.() !== 0 && 'needs root'
const main = join(import.meta.dirname, '../../src/policyd/main.ts')

/** An own /run, network and BPF file system: nothing of the machine is touched. */
const isolate = 'ip link set lo up && mount -t tmpfs tmpfs /run && mount -t bpf bpf /sys/fs/bpf && exec "$@"'
const kubeconfig = {
  clusters: [{ name: 'c', cluster: { server: 'http://127.0.0.1:1' } }],
  contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
  users: [{ name: 'u', user: { token: 't' } }],
  'current-context': 'x',
}

test('the program itself: it waits, works and waits again as terwayd decides, and stops when told', { skip }, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'policyd-main-'))
  writeFileSync(join(dir, 'kubeconfig'), JSON.stringify(kubeconfig))
  const env = { ...process.env, NODE_NAME: 'n1', TERWAY_POLICY_LISTEN: 'unix:///run/policy.socket' }
  const args = ['-config', '/etc/eni/eni_conf', '-log-level', 'error', '-kubeconfig', join(dir, 'kubeconfig')]
  const child = spawn('unshare', ['-m', '-n', 'sh', '-c', isolate, 'sh', process.execPath, main, ...args], { env, stdio: 'inherit' })
  try {
    const run = `/proc/${child.pid}/root/run`
    const socket = join(run, 'policy.socket')
    const decide = (value: boolean) => writeFileSync(join(run, 'eni/node_capabilities'), `kube_proxy_replacement = ${value}\n`)
    const ready = () => getOverSocket(socket, '/readyz')
    await until(() => existsSync(socket))
    assert.deepEqual(await ready(), { status: 200, body: 'ok\n' })
    const { services, ...rest } = JSON.parse((await getOverSocket(socket, '/services')).body)
    assert.deepEqual([services, rest], [[], { node: 'n1', enabled: false, reason: 'terwayd has not decided yet', maps: null, notes: [] }])
    mkdirSync(join(run, 'eni'))
    decide(true)
    await until(async () => (await ready()).status === 503)
    assert.match((await ready()).body, /terwayd has made no maps yet/)
    decide(false)
    await until(async () => (await ready()).status === 200)
    const exited = new Promise(resolve => child.once('exit', resolve))
    child.kill('SIGTERM')
    assert.equal(await exited, 0)
  } finally {
    child.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  }
})
