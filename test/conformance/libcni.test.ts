// SPDX-License-Identifier: Apache-2.0
// needs: root
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { familiesOf, stackOf } from '#net/stack.ts'
import { cniVersions } from '#rpc/cni-message.ts'
import { findGo } from '../../tools/setup/go.ts'
import { NetnsNode } from '../support/netns-node.ts'
import { until } from '../support/until.ts'
import { Libcni, type LibcniResult } from './libcni.ts'

/*
 * libcni, the library inside containerd and CRI-O, drives the shim and a real terwayd in network namespaces: what it takes for
 * a result, an error or a supported version is what a runtime would.
 */
const go = await findGo().catch((e: Error) => e)
const addresses = Array.from({ length: 20 }, (_, i) => [`10.0.0.${i + 1}`, `fd00:1::${i + 1}`]).flat()
let node: NetnsNode
let libcni: Libcni

const list = (cniVersion: string) => ({ cniVersion, name: 'terway', plugins: [{ type: 'terway' }] })
const latest = list('1.1.0')

function attachment(pod: string) {
  const args = Object.entries({ IgnoreUnknown: '1', K8S_POD_NAMESPACE: 'default', K8S_POD_NAME: pod, K8S_POD_UID: `uid-${pod}` })
  return { containerID: `c-${pod}`, netns: node.sandbox(`c-${pod}`), args }
}

async function add(pod: string, version = '1.1.0', runtime = 'runtime'): Promise<LibcniResult> {
  node.cluster.pod(pod)
  const { result, error } = await libcni.call({ verb: 'ADD', list: list(version), runtime, ...attachment(pod) })
  assert.deepEqual(error, undefined)
  return result ?? assert.fail('ADD printed no result')
}

function addressesOf(result: LibcniResult): string[] {
  return result.ips.map(ip => String(ip.address).replace(/\/.*/, ''))
}

function addressOf(result: LibcniResult): string {
  return addressesOf(result)[0] ?? assert.fail('no address')
}

const held = (address: string) => node.state().some(line => line.includes(`${address} `))

describe('libcni', { skip: go instanceof Error ? `no Go: ${go.message}` : false }, () => {
  before(async () => {
    if (go instanceof Error) throw go
    node = new NetnsNode(addresses, { podWait: 300 })
    libcni = await Libcni.build(go, node.options.cniSocket)
    await node.started()
  })
  after(async () => {
    libcni?.[Symbol.dispose]()
    await node?.[Symbol.asyncDispose]()
  })

  test('VERSION: libcni reads the versions that the shim knows, and accepts a list of each', async () => {
    const { versions = [] } = await libcni.call({ verb: 'VERSION', list: latest })
    assert.deepEqual(new Set(versions), new Set(cniVersions))
    for (const version of cniVersions) assert.deepEqual(await libcni.call({ verb: 'VALIDATE', list: list(version) }), {})
    const { error } = await libcni.call({ verb: 'VALIDATE', list: list('0.2.0') })
    assert.match(error?.message ?? '', /does not support config version "0.2.0"/)
  })

  for (const version of cniVersions) {
    test(`ADD, CHECK and DEL at version ${version}: the result has that version's shape`, async () => {
      const pod = `v${version.replaceAll('.', '-')}`
      const { netns, ...call } = attachment(pod)
      const result = await add(pod, version)
      assert.equal(result.cniVersion, version)
      const inside = result.interfaces.findIndex(i => i.sandbox === netns)
      assert.equal(result.interfaces[inside]?.name, 'eth0')
      assert.match(result.interfaces[inside]?.mac ?? '', /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/)
      const [ip = {}] = result.ips
      assert.equal(result.ips.length, 1)
      assert.match(String(ip.address), /^10\.0\.0\.\d+\/\d+$/)
      assert.equal(ip.interface, inside)
      // The family is told since 0.3.0 and no more since 1.0.0.
      assert.equal(ip.version, version < '1.0.0' ? '4' : undefined)
      const address = addressOf(result)
      assert.ok(node.reaches(address))
      const check = await libcni.call({ verb: 'CHECK', list: list(version), netns, ...call })
      if (version < '0.4.0') assert.match(check.error?.message ?? '', /does not support the CHECK command/)
      else assert.deepEqual(check, {})
      assert.deepEqual(await libcni.call({ verb: 'DEL', list: list(version), netns, ...call }), {})
      assert.equal(held(address), false)
      assert.deepEqual(await libcni.call({ verb: 'DEL', list: list(version), netns, ...call }), {}, 'a second DEL succeeds')
    })
  }

  for (const stack of ['dual', 'ipv6', 'ipv4'] as const) {
    test(`a node that becomes ${stack}: ADD, CHECK and DEL at each version`, async () => {
      node.cluster.configure({ ip_stack: stack })
      await until(() => stackOf(node.cluster.node().spec.eni) === stack)
      for (const version of cniVersions) {
        const pod = `${stack}-${version.replaceAll('.', '-')}`
        const result = await add(pod, version)
        const families = result.ips.map(ip => [String(ip.address).includes(':') ? 6 : 4, ip.version])
        const named = (f: number) => [f, version < '1.0.0' ? String(f) : undefined]
        assert.deepEqual(families, familiesOf(stack).map(named), version)
        for (const address of addressesOf(result)) assert.ok(node.reaches(address), address)
        const call = attachment(pod)
        if (version >= '0.4.0') assert.deepEqual(await libcni.call({ verb: 'CHECK', list: list(version), ...call }), {})
        assert.deepEqual(await libcni.call({ verb: 'DEL', list: list(version), ...call }), {})
        assert.deepEqual(addressesOf(result).filter(held), [])
      }
    })
  }

  test('a repeated ADD is the same result; errors reach the runtime with their code', async () => {
    const first = await add('again')
    assert.deepEqual(await add('again'), first)
    const unknown = await libcni.call({ verb: 'ADD', list: latest, ...attachment('nobody') })
    assert.equal(unknown.error?.code, 11)
    assert.match(unknown.error?.message ?? '', /pod default\/nobody is not in the API server/)
    node.ip('rule', 'del', 'priority', '512', 'to', addressOf(first))
    const damaged = await libcni.call({ verb: 'CHECK', list: latest, ...attachment('again') })
    // Repair may have been first.
    if (damaged.error !== undefined) assert.equal(damaged.error.code, 102)
    assert.deepEqual(await libcni.call({ verb: 'DEL', list: latest, ...attachment('again') }), {})
  })

  test('GC removes what the runtime does not list, whether libcni remembers it or not, and keeps the others', async () => {
    const [kept, stale, foreign] = [await add('kept'), await add('stale'), await add('foreign', '1.1.0', 'another')].map(addressOf)
    const valid = [{ containerID: 'c-kept', ifname: 'eth0' }]
    assert.deepEqual(await libcni.call({ verb: 'GC', list: latest, valid }), {})
    // libcni deletes what its own cache has; only the plugin knows of the attachment that another runtime made.
    await until(() => !held(stale ?? '') && !held(foreign ?? ''))
    assert.ok(kept !== undefined && node.reaches(kept))
    assert.deepEqual(await libcni.call({ verb: 'CHECK', list: latest, ...attachment('kept') }), {})
    assert.deepEqual(await libcni.call({ verb: 'DEL', list: latest, ...attachment('kept') }), {})
  })

  test('STATUS follows the daemon', async () => {
    assert.deepEqual(await libcni.call({ verb: 'STATUS', list: latest }), {})
    await node.kill()
    const { error } = await libcni.call({ verb: 'STATUS', list: latest })
    assert.ok(error !== undefined && error.code >= 50, JSON.stringify(error))
    await node.started()
    assert.deepEqual(await libcni.call({ verb: 'STATUS', list: latest }), {})
  })
})
