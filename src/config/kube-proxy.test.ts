// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Capabilities } from '#config/capabilities.ts'
import { Fields } from '#config/fields.ts'
import {
  algorithmCapability,
  algorithmOf,
  type KubeProxyKeys,
  kubeProxyCapability,
  readKubeProxyKeys,
  replacesKubeProxy,
} from '#config/kube-proxy.ts'

const read = (json: object) => {
  const f = new Fields('eni_conf', json)
  const keys = readKubeProxyKeys(f)
  f.throwIfWrong()
  return keys
}

test('keys that are not there say nothing', () => assert.deepEqual(read({}), {}))

test('all of them', () => {
  const all = {
    kube_proxy_replacement: false,
    exclusive_services: true,
    nat_port_range: '40000-49999',
    conntrack_entries: 65536,
    conntrack_entries_per_pod: 2000,
    service_algorithm: 'maglev',
  }
  assert.deepEqual(read(all), {
    kubeProxyReplacement: false,
    exclusiveServices: true,
    natPorts: { first: 40000, last: 49999 },
    conntrackEntries: 65536,
    conntrackEntriesPerPod: 2000,
    serviceAlgorithm: 'maglev',
  })
})

test('what is wrong is named', () => {
  assert.throws(() => read({ kube_proxy_replacement: 'yes' }), /kube_proxy_replacement is "yes", must be true or false/)
  assert.deepEqual(read({ conntrack_entries_per_pod: 0 }), {})
  assert.throws(() => read({ conntrack_entries: 10 }), /conntrack_entries is 10, must be a whole number between 1024 and 16777216/)
  assert.throws(() => read({ service_algorithm: 'rr' }), /service_algorithm is "rr", must be random or maglev/)
  for (const range of ['61000', '61000-61100', '80-2000', '61000-70000', '65535-61000', 'a-b'])
    assert.throws(() => read({ nat_port_range: range }), new RegExp(`nat_port_range is "${range}", must be first-last within 1024-65535`))
})

test('a node whose pods have an ENI each may translate where kube-proxy does elsewhere', () => {
  const conf = { kubeProxyReplacement: false, exclusiveServices: true }
  const decided = (isExclusive: boolean, keys = conf) => replacesKubeProxy(keys, new Map(), false, isExclusive)
  assert.deepEqual([decided(true), decided(false)], [true, false])
  assert.deepEqual(
    [decided(true, { kubeProxyReplacement: true, exclusiveServices: false }), decided(true, { ...conf, exclusiveServices: false })],
    [true, false],
  )
})

test('the configuration decides, then what the node has decided before, then the gate', () => {
  const replaces = (...[conf, capabilities, gate]: [KubeProxyKeys, Capabilities, boolean]) =>
    replacesKubeProxy(conf, capabilities, gate, false)
  const had = new Map([['kube_proxy_replacement', 'true']])
  const hadNot = new Map([['kube_proxy_replacement', 'false']])
  assert.equal(replaces({}, new Map(), false), false)
  assert.equal(replaces({}, new Map(), true), true)
  assert.equal(replaces({}, had, false), true)
  assert.equal(replaces({}, hadNot, true), true)
  assert.equal(replaces({ kubeProxyReplacement: true }, new Map(), false), true)
  assert.equal(replaces({ kubeProxyReplacement: false }, had, true), false)
})

test('the capability is written where it is true, or was', () => {
  assert.deepEqual(kubeProxyCapability(false, new Map()), {})
  assert.deepEqual(kubeProxyCapability(true, new Map()), { kube_proxy_replacement: 'true' })
  assert.deepEqual(kubeProxyCapability(false, new Map([['kube_proxy_replacement', 'true']])), { kube_proxy_replacement: 'false' })
})

test('how backends are chosen is written where it is not the usual way, or was not', () => {
  const had = new Map([['service_algorithm', 'maglev']])
  assert.deepEqual(algorithmCapability('random', new Map()), {})
  assert.deepEqual(algorithmCapability('maglev', new Map()), { service_algorithm: 'maglev' })
  assert.deepEqual(algorithmCapability('random', had), { service_algorithm: 'random' })
  assert.deepEqual(
    [algorithmOf(had), algorithmOf(new Map()), algorithmOf(new Map([['service_algorithm', 'x']]))],
    ['maglev', 'random', 'random'],
  )
})
