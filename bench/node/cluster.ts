// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { Type } from 'typebox'
import { Agent, request } from 'undici'
import { localBindingAnnotation } from '#ipam/release.ts'
import { KubeClient } from '#kube/client.ts'
import { definitions } from '#kube/crd/definitions.ts'
import { type Nic, type NodeCr, nodeCrs } from '#kube/crd/node.ts'
import { installCrds } from '#kube/install-crds.ts'
import type { KubeObject, Resource } from '#kube/port.ts'
import { configMaps } from '#kube/reflect/config-map.ts'
import { leases } from '#kube/reflect/lease.ts'
import { nodes } from '#kube/reflect/node.ts'
import { resource } from '#kube/resource.ts'
import { realClock } from '#lib/clock.ts'
import { writeKubeconfig } from '../../lab/pki.ts'
import { ApiServer, tokens } from '../../test/support/apiserver.ts'
import { until } from '../../test/support/until.ts'

const wholePods: Resource<KubeObject & { readonly spec: unknown }> = resource({
  group: '',
  version: 'v1',
  plural: 'pods',
  kind: 'Pod',
  namespaced: true,
  unknown: 'keep',
  body: Type.Object({}),
})
/** Pods written at the same time. */
const writers = 8

/** A real API server (etcd without fsync) with Terway's CRDs, and what a benchmark writes to it. */
export class BenchCluster {
  readonly client: KubeClient
  readonly kubeconfig: string
  readonly #api: ApiServer
  readonly #agent: Agent

  private constructor(api: ApiServer) {
    this.#api = api
    this.kubeconfig = writeKubeconfig(api.pki, 'admin', `https://127.0.0.1:${api.port}`)
    this.#agent = new Agent({ connect: { ca: readFileSync(api.caFile, 'utf8') } })
    this.client = new KubeClient({ config: api.config('bench'), clock: realClock, reporter: { controller: 'bench', instance: 'bench' } })
  }

  static async start(eniConf: object): Promise<BenchCluster> {
    const cluster = new BenchCluster(await ApiServer.start())
    const { client } = cluster
    await installCrds(client, realClock, definitions)
    const configMap = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'eni-config', namespace: 'kube-system' },
      data: { eni_conf: JSON.stringify(eniConf) },
    }
    // The server makes its namespaces a moment after it is ready.
    await until(() => succeeds(() => client.create(configMaps, configMap)), 'the configuration is written')
    await until(async () => (await client.get(nodeCrs, 'none')) === undefined, 'the CRDs are served')
    return cluster
  }

  /** A Kubernetes node as ACK registers it. */
  async register(name: string, labels: Readonly<Record<string, string>> = {}, providerID?: string): Promise<void> {
    const spec = providerID === undefined ? {} : { providerID }
    await this.client.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name, labels }, spec })
  }

  /** The Node CR as our controller fills it, with these ENIs, for a node without a controller. */
  async provide(name: string, nics: readonly Nic[]): Promise<void> {
    await this.client.create(leases, {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'terway-controlplane', namespace: 'kube-system' },
      spec: { holderIdentity: 'terway-ts_bench' },
    })
    const made = await this.client.create(nodeCrs, {
      apiVersion: 'network.alibabacloud.com/v1beta1',
      kind: 'Node',
      metadata: { name, annotations: { [localBindingAnnotation]: 'v1' } },
      spec: {
        nodeMetadata: { regionID: 'r', instanceType: 't', instanceID: 'i-1', zoneID: 'zone-a' },
        nodeCap: { adapters: 1 + nics.length, ipv4PerAdapter: 30, ipv6PerAdapter: 30 },
      },
    } satisfies NodeCr)
    const status = { networkInterfaces: Object.fromEntries(nics.map(n => [n.id, n])) }
    await this.client.replace(nodeCrs, { ...made, status }, 'status')
  }

  /** Resolves with the pod's UID when the server has it; the watches hear of it on their own. */
  async createPod(name: string, nodeName: string): Promise<string> {
    const spec = { nodeName, containers: [{ name: 'c', image: 'none' }] }
    const pod = await this.client.create(wholePods, { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'default' }, spec })
    return pod.metadata.uid ?? ''
  }

  /** UIDs in the order of the names. */
  async createPods(names: readonly string[], nodeName: string): Promise<readonly string[]> {
    const uids = new Map<string, string>()
    const queue = [...names]
    const write = async () => {
      for (let name = queue.shift(); name !== undefined; name = queue.shift()) uids.set(name, await this.createPod(name, nodeName))
    }
    await Promise.all(Array.from({ length: writers }, write))
    return names.map(name => uids.get(name) ?? '')
  }

  /** All pods, at once and without grace. */
  async deletePods(): Promise<void> {
    const { statusCode, body } = await request(
      `https://127.0.0.1:${this.#api.port}/api/v1/namespaces/default/pods?gracePeriodSeconds=0&propagationPolicy=Background`,
      { method: 'DELETE', dispatcher: this.#agent, headers: { authorization: `Bearer ${tokens.admin}` } },
    )
    const text = await body.text()
    if (statusCode !== 200) throw new Error(`deleting pods: ${statusCode} ${text}`)
  }
}

async function succeeds(fn: () => Promise<unknown>): Promise<boolean> {
  try {
    await fn()
    return true
  } catch {
    return false
  }
}
