// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { realClock } from '#lib/clock.ts'
import { KubeModel } from '../../test/support/kube-model.ts'
import { until } from '../../test/support/until.ts'
import { loadConfig } from './config.ts'
import { originsOf, rememberEndpoints } from './endpoints.ts'
import { type EndpointSlice, endpointSlices } from './reflect/endpoint-slice.ts'

function directory(t: TestContext, files: Readonly<Record<string, string>>): string {
  const dir = mkdtempSync(join(tmpdir(), 'terway-kubeconfig-'))
  t.after(() => rmSync(dir, { recursive: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text)
  return dir
}

const kubeconfig = (user: string, cluster = 'server: https://10.1.1.1:6443') => `
apiVersion: v1
kind: Config
current-context: main
contexts: [{ name: main, context: { cluster: c, user: u } }]
clusters:
  - name: c
    cluster:
      ${cluster}
      certificate-authority: ca.crt
users:
  - name: u
    user: ${user}
`

test('in a pod: the given address, then what worked before, as the file has it at the time', async t => {
  const dir = directory(t, {
    token: 't',
    'ca.crt': 'x',
    endpoints: '["https://10.1.1.2:6443","https://10.1.1.1:6443","nonsense"]',
  })
  const config = await loadConfig({
    env: { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' },
    serviceAccount: dir,
    endpointsFile: join(dir, 'endpoints'),
  })
  const { remembered = () => [], ...rest } = config
  assert.deepEqual(rest, { servers: ['https://[fd00::1]:6443'], ca: [{ file: join(dir, 'ca.crt') }], token: { file: join(dir, 'token') } })
  assert.deepEqual(remembered(), ['https://10.1.1.2:6443', 'https://10.1.1.1:6443'])
  writeFileSync(join(dir, 'endpoints'), '["https://10.1.1.3:6443"]')
  assert.deepEqual(remembered(), ['https://10.1.1.3:6443'])
  rmSync(join(dir, 'endpoints'))
  assert.deepEqual(remembered(), [])
})

test('a kubeconfig: files are relative to it, data goes before files', async t => {
  const user = '{ client-certificate: pki/c.pem, client-key: /k.pem, client-certificate-data: Y2VydA== }'
  const dir = directory(t, { config: kubeconfig(user, 'server: https://a.example:443/\n      tls-server-name: b') })
  const config = await loadConfig({ env: { KUBECONFIG: join(dir, 'config') } })
  assert.deepEqual(config, {
    servers: ['https://a.example'],
    insecure: false,
    serverName: 'b',
    ca: [{ file: join(dir, 'ca.crt') }],
    cert: { text: 'cert' },
    key: { file: '/k.pem' },
  })
})

test('what is missing or not supported is named', async t => {
  const cases: readonly (readonly [string, RegExp])[] = [
    [kubeconfig('{ exec: { command: aws } }'), /user\.exec is not supported; use a token/],
    [kubeconfig('{}', 'server: nowhere'), /cluster\.server "nowhere" is not a URL/],
    [kubeconfig('{}', 'server: https://a/b'), /has a path/],
    [kubeconfig('{}', 'server: https://a\n      proxy-url: http://p'), /cluster\.proxy-url is not supported/],
    [kubeconfig('{}').replace('current-context: main', ''), /current-context is not set/],
    [kubeconfig('{}').replace('cluster: c,', 'cluster: other,'), /clusters has no entry "other"/],
    ['- a', /not a kubeconfig/],
  ]
  for (const [text, message] of cases) {
    const dir = directory(t, { config: text })
    await assert.rejects(loadConfig({ env: { KUBECONFIG: join(dir, 'config') } }), { code: 'bad-kubeconfig', message })
  }
  const empty = directory(t, {})
  await assert.rejects(loadConfig({ env: {}, serviceAccount: empty }), { code: 'no-kubeconfig' })
  const noServer = directory(t, { token: 't' })
  await assert.rejects(loadConfig({ env: {}, serviceAccount: noServer }), { code: 'no-kubeconfig', message: /no API server is known/ })
})

const slice = (name: string, addresses: readonly string[], ready = true): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name, namespace: 'default', labels: { 'kubernetes.io/service-name': 'kubernetes' } },
  addressType: 'IPv4',
  endpoints: [{ addresses, conditions: { ready } }],
  ports: [{ name: 'https', port: 6443 }],
})

test('origins are those of ready endpoints', () => {
  const slices = [slice('a', ['10.0.0.2', 'fd00::2']), slice('b', ['10.0.0.1']), slice('c', ['10.0.0.3'], false)]
  assert.deepEqual(originsOf(slices), ['https://10.0.0.1:6443', 'https://10.0.0.2:6443', 'https://[fd00::2]:6443'])
})

test('the last good endpoints stay in the file', async t => {
  const file = join(directory(t, {}), 'sub', 'endpoints.json')
  const model = new KubeModel(realClock)
  const watch = rememberEndpoints(model.client('a'), file, e => assert.fail(String(e)))
  t.after(() => watch.stop())
  await watch.synced
  model.put(endpointSlices, slice('a', ['10.0.0.1']))
  const text = () => {
    try {
      return readFileSync(file, 'utf8')
    } catch {
      return ''
    }
  }
  await until(() => text() === '["https://10.0.0.1:6443"]')
  model.put(endpointSlices, slice('b', ['10.0.0.2']))
  await until(() => text() === '["https://10.0.0.1:6443","https://10.0.0.2:6443"]')
  model.remove(endpointSlices, 'a', 'default')
  model.remove(endpointSlices, 'b', 'default')
  await until(() => text() === '["https://10.0.0.2:6443"]')
})
