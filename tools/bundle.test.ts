// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { programNames } from '#kernel/bpf/programs.ts'
import { objectFile } from './bpf/compile.ts'
import { bundle } from './bundle.ts'
import { root } from './components.ts'

/** The bundles as the image has them: far from the checkout and its node_modules. */
const directory = mkdtempSync(join(tmpdir(), 'terway-bundle-'))
before(async () => {
  for (const file of await bundle()) cpSync(join(root, 'dist', file), join(directory, file))
})
after(() => rmSync(directory, { recursive: true, force: true }))

const run = (...args: string[]) => execFileSync(process.execPath, args, { cwd: directory, encoding: 'utf8' })

test('a bundle needs nothing of the checkout', () => {
  assert.match(run('terway-cli.mjs', '--help'), /Usage: terway-cli/)
})

test("koffi's native part is found from beside a bundle", () => {
  const script = `
    const { load } = require('node:module').createRequire('${directory}/terwayd.mjs')('@koromix/koffi-linux-${process.arch}')
    console.log(load(null).func('int getpid()')() === process.pid)`
  assert.equal(run('-e', script), 'true\n')
})

test('the eBPF programs are beside the bundles, all of them', () => {
  const { programs, generation } = JSON.parse(readFileSync(join(directory, objectFile), 'utf8'))
  assert.deepEqual(
    programs.map(({ name }: { name: string }) => name),
    programNames,
  )
  assert.match(generation, /^[0-9a-f]{12}$/)
})

/** What runs on every node, and how large it may be. */
const ofNodes = { 'terwayd.mjs': 2_000_000, 'terway-policy.mjs': 800_000 } as const

test('what runs on every node carries nothing that only the controller needs, and its text takes one byte a character', () => {
  for (const [file, most] of Object.entries(ofNodes)) {
    const bytes = readFileSync(join(directory, file))
    assert.ok(bytes.every(b => b < 0x80))
    assert.ok(bytes.length < most, `${file} has ${bytes.length} bytes: what does it import now?`)
    assert.ok(!bytes.includes('ALIBABA_CLOUD_ACCESS_KEY_SECRET'), 'the chain of credentials')
  }
})

for (const file of Object.keys(ofNodes))
  test(`${file} starts without a second HTTP client and without gRPC`, () => {
    const list = `process.once('exit', () => console.log(JSON.stringify(process.moduleLoadList)))`
    const { stdout } = spawnSync(process.execPath, ['--import', `data:text/javascript,${list}`, file], {
      cwd: directory,
      env: {},
      encoding: 'utf8',
    })
    assert.match(stdout, /NODE_NAME is not set/)
    const modules: unknown = JSON.parse(stdout.split('\n').find(line => line.startsWith('[')) ?? '')
    assert.ok(Array.isArray(modules) && modules.includes('NativeModule http'))
    assert.deepEqual(
      modules.filter(name => /undici|http2/.test(name)),
      [],
    )
  })

test('a bundled process can ask an API server: it is refused a connection, not a method', async () => {
  const kubeconfig = {
    clusters: [{ name: 'c', cluster: { server: 'http://127.0.0.1:1' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
  }
  writeFileSync(
    join(directory, 'kubeconfig'),
    JSON.stringify({ ...kubeconfig, users: [{ name: 'u', user: { token: 't' } }], 'current-context': 'x' }),
  )
  const config = { regionID: 'r', clusterID: 'c', vpcID: 'v', controllerNamespace: 'kube-system', controllerName: 'terway-controlplane' }
  writeFileSync(
    join(directory, 'ctrl-config.json'),
    JSON.stringify({ ...config, healthzBindAddress: '127.0.0.1:0', metricsBindAddress: '0' }),
  )
  const env = { PATH: process.env.PATH, KUBECONFIG: join(directory, 'kubeconfig'), POD_NAME: 'p' }
  const args = ['terway-controlplane.mjs', '-config', join(directory, 'ctrl-config.json')]
  // It asks again and again: the first answer is enough.
  const child = spawn(process.execPath, args, { cwd: directory, env, stdio: ['ignore', 'pipe', 'inherit'], timeout: 120_000 })
  let told = ''
  for await (const text of child.stdout.setEncoding('utf8')) {
    told += text
    if (told.includes('ECONNREFUSED')) break
  }
  child.kill()
  assert.match(told, /ECONNREFUSED 127\.0\.0\.1:1/)
})
