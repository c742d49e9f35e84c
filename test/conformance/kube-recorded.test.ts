// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Type } from 'typebox'
import { NodeRecord } from '#controller/eni/node-record.ts'
import { localBindingAnnotation, localBindingVersion } from '#ipam/release.ts'
import { KubeClient } from '#kube/client.ts'
import { definitions } from '#kube/crd/definitions.ts'
import { nodeCrs } from '#kube/crd/node.ts'
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import { installCrds } from '#kube/install-crds.ts'
import type { KubeObject, Resource } from '#kube/port.ts'
import { resource } from '#kube/resource.ts'
import { realClock } from '#lib/clock.ts'
import { ApiServer } from '../support/apiserver.ts'
import { node, nodeRuntime, recorded } from '../support/recorded.ts'

/** What Terway (Go) wrote to a cluster stays as it wrote it: through our CRDs in a real API server, and through our own writes beside it. */
describe('objects of Terway in a real kube-apiserver with our CRDs', () => {
  let api: ApiServer
  let client: KubeClient
  before(async () => {
    api = await ApiServer.start()
    client = new KubeClient({ config: api.config('admin'), clock: realClock, reporter: { controller: 'terway-test', instance: 'node-1' } })
    await installCrds(client, realClock, definitions)
  })
  after(async () => {
    await client?.close()
    await api?.stop()
  })

  /** The kind as another program sees it: nothing is checked, nothing is added. */
  const plain = ({ group, version, plural, kind, namespaced }: Resource<KubeObject>): Resource<KubeObject> =>
    resource({ group, version, plural, kind, namespaced, unknown: 'keep', body: Type.Object({}) })

  /** As Terway's client creates it: the object, and its status by the subresource. */
  const write = async (r: Resource<KubeObject>, object: KubeObject): Promise<void> => {
    const { uid: _, resourceVersion: __, generation: ___, creationTimestamp: ____, ...metadata } = object.metadata
    const created = await client.create(plain(r), { ...object, metadata })
    await client.replace(plain(r), { ...object, metadata: created.metadata }, 'status')
  }

  /** Every field of `object` is in the server as it was; the server's own metadata aside. */
  const unchanged = async (r: Resource<KubeObject>, object: KubeObject): Promise<KubeObject> => {
    const { name, namespace } = object.metadata
    const found = await client.get(plain(r), name, namespace)
    const { uid: _, resourceVersion: __, generation: ___, creationTimestamp: ____, ...metadata } = object.metadata
    assert.partialDeepStrictEqual(found, { ...object, metadata })
    return found ?? assert.fail(`${name} is gone`)
  }

  for (const [r, object] of recorded)
    test(`${r.plural}: applied, read, patched and replaced by us, every field is as Terway wrote it`, async () => {
      const { name, namespace } = object.metadata
      await write(r, object)
      const { metadata: _, ...stored } = await unchanged(r, object)
      const { metadata: __, ...written } = object
      assert.deepEqual(stored, written, 'the server drops nothing and adds nothing')
      const body = { metadata: { annotations: { 'example.com/ours': 'yes' } } }
      const patched = await client.patch(r, name, { type: 'merge', body }, namespace)
      assert.equal(patched.metadata.annotations?.['example.com/ours'], 'yes')
      await unchanged(r, object)
      await client.replace(r, await client.replace(r, patched), 'status')
      await unchanged(r, object)
    })

  test("the controller's writes to a Node keep what Terway's controller and daemon wrote", async () => {
    const { name } = node.metadata
    const record = new NodeRecord(client, name)
    const { status } = (await record.load(undefined)) ?? assert.fail('no Node CR')
    const nic = status?.networkInterfaces?.['eni-1'] ?? assert.fail('no eni-1')
    const marked = nic.ipv4?.['10.0.1.3'] ?? assert.fail('no 10.0.1.3')
    const since = '2026-05-01T12:00:00Z'
    const intents = {
      t1: { token: 't1', kind: 'assign-ips', eniID: 'eni-1', vSwitchID: 'vsw-1', ipv4Count: 1, ipv6Count: 0, since },
    } as const
    const ipv4 = { ...nic.ipv4, '10.0.1.3': { ...marked, releaseNonce: 'n1' } }
    await record.write({ ...status, networkInterfaces: { 'eni-1': { ...nic, ipv4 } }, intents })
    await record.patchMetadata({ annotations: { [localBindingAnnotation]: localBindingVersion } })
    await unchanged(nodeCrs, node)
    const ours = await client.get(nodeCrs, name)
    assert.deepEqual(ours?.status?.intents, intents)
    assert.equal(ours?.status?.networkInterfaces?.['eni-1']?.ipv4?.['10.0.1.3']?.releaseNonce, 'n1')
    await record.write(status ?? {})
    const back = await client.get(nodeCrs, name)
    assert.deepEqual(back?.status?.networkInterfaces, node.status.networkInterfaces, 'and what we added can be taken back')
  })

  test("the daemon's report beside Terway's entries keeps them", async () => {
    const { name } = nodeRuntime.metadata
    const at = '2026-05-01T12:00:00Z'
    const pods = {
      p2: { podID: 'default/web-1', status: { initial: { lastUpdateTime: at } }, ipv4: '10.0.1.5', eniID: 'eni-1', containerID: 'c1' },
    }
    const releases = { '10.0.1.3': { nonce: 'n1', answer: 'acked', lastUpdateTime: at } }
    await client.patch(nodeRuntimes, name, { type: 'merge', body: { status: { pods, releases } }, subresource: 'status' })
    await unchanged(nodeRuntimes, nodeRuntime)
    assert.partialDeepStrictEqual((await client.get(nodeRuntimes, name))?.status, { pods, releases })
  })
})
