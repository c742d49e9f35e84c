// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fields } from '#config/fields.ts'
import { algorithmCapability, algorithmOf, kubeProxyCapability, readKubeProxyKeys, replacesKubeProxy } from '#config/kube-proxy.ts'

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
    nat_port_range: '40000-49999',
    conntrack_entries: 65536,
    conntrack_entries_per_pod: 2000,
    service_algorithm: 'maglev',
  }
  assert.deepEqual(read(all), {
    kubeProxyReplacement: false,
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

test('the configuration decides, then what the node has decided before, then the gate', () => {
  const had = new Map([['kube_proxy_replacement', 'true']])
  const hadNot = new Map([['kube_proxy_replacement', 'false']])
  assert.equal(replacesKubeProxy({}, new Map(), false), false)
  assert.equal(replacesKubeProxy({}, new Map(), true), true)
  assert.equal(replacesKubeProxy({}, had, false), true)
  assert.equal(replacesKubeProxy({}, hadNot, true), true)
  assert.equal(replacesKubeProxy({ kubeProxyReplacement: true }, new Map(), false), true)
  assert.equal(replacesKubeProxy({ kubeProxyReplacement: false }, had, true), false)
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
