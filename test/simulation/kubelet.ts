// SPDX-License-Identifier: Apache-2.0
import { type Pod, pods } from '#kube/reflect/pod.ts'
import type { CniConfig } from '#rpc/cni-message.ts'
import type { KubeModel } from '../support/kube-model.ts'
import type { World } from './clock.ts'
import type { Sandbox, SimNode } from './node.ts'

const config: CniConfig = { cniVersion: '1.0.0', name: 'terway' }

/** What has to happen to a pod; the kubelet's loop looks at it. */
export interface Job {
  readonly uid: string
  readonly name: string
  readonly node: SimNode
  deleting: boolean
  /** The runtime loses the sandbox without a DEL (a crashed runtime, a forgotten container). */
  forgetful: boolean
  /** The present sandbox is to be replaced: after its DEL, or before it, as by a runtime that has forgotten the container for a while. */
  restart: 'no' | 'after-del' | 'before-del'
  /** The runtime asks for the present sandbox once more. */
  again: boolean
  /** Answered, and not told to go: its lease must stand. */
  sandbox: Sandbox | undefined
}

/** Kubelet and runtime of every node: each pod is brought up and torn down as they do it, with their retries. */
export class Kubelet {
  readonly jobs = new Map<string, Job>()
  addsAnswered = 0
  addsFailed = 0
  readonly #world: World
  readonly #api: KubeModel
  #containers = 0

  constructor(world: World, api: KubeModel) {
    this.#world = world
    this.#api = api
  }

  /** A pod that the scheduler has put on the node. */
  create(name: string, node: SimNode): void {
    const pod: Pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'default' },
      spec: { nodeName: node.name },
      status: { phase: 'Pending' },
    }
    const stored = this.#api.put(pods, pod)
    const { uid = '' } = stored.metadata
    const job: Job = { uid, name, node, deleting: false, forgetful: false, restart: 'no', again: false, sandbox: undefined }
    this.jobs.set(name, job)
    this.#run(job)
  }

  delete(name: string, how: { readonly forgetful: boolean; readonly force: boolean }): void {
    const job = this.jobs.get(name)
    if (job === undefined) return
    job.forgetful ||= how.forgetful
    if (job.deleting) return
    job.deleting = true
    if (how.force) this.#api.remove(pods, name, 'default')
    else this.#patch(job, p => ({ ...p, metadata: { ...p.metadata, deletionTimestamp: new Date(this.#world.wall()).toISOString() } }))
  }

  /** Pods that have lost their network with an ENI are deleted, as the event about it says, and their owners make others. */
  replaceCut(eniIds: ReadonlySet<string>, podUids: ReadonlySet<string>): void {
    for (const job of [...this.jobs.values()]) {
      const eniId = job.node.given.get(job.sandbox?.id ?? '')?.eniId ?? ''
      if (job.deleting || !(eniIds.has(eniId) || podUids.has(job.uid))) continue
      this.delete(job.name, { forgetful: false, force: false })
      this.create(`again-${++this.#containers}`, job.node)
    }
  }

  /** DEL of a container that no runtime ever had: it succeeds at once, and every lease is as before. */
  async delStranger(node: SimNode): Promise<void> {
    const before = [...node.disk.leases.values()]
    const id = `stranger-${++this.#containers}`
    try {
      await node.call(delOf(id))
    } catch (e) {
      throw new Contradiction(`a DEL of the unknown ${id} on ${node.name} failed: ${e}`)
    }
    const after = [...node.disk.leases.values()]
    if (after.length !== before.length || after.some((lease, i) => lease !== before[i]))
      throw new Contradiction(`a DEL of the unknown ${id} on ${node.name} changed its leases`)
  }

  async #run(job: Job): Promise<void> {
    await this.#world.sleep(this.#world.int(100))
    while (!job.deleting) {
      if (job.sandbox !== undefined && !job.node.sandboxes.has(job.sandbox.id)) job.sandbox = undefined
      if (job.restart !== 'no' && job.sandbox !== undefined) await this.#replace(job, job.sandbox)
      job.restart = 'no'
      if (job.again && job.sandbox !== undefined) await this.#repeat(job, job.sandbox)
      job.again = false
      if (job.sandbox === undefined) await this.#bringUp(job)
      await this.#world.sleep(job.sandbox === undefined ? 1000 + this.#world.int(2000) : 1000)
    }
    if (job.sandbox !== undefined) await this.#tearDown(job, job.sandbox)
    this.#api.remove(pods, job.name, 'default')
    this.jobs.delete(job.name)
  }

  async #replace(job: Job, old: Sandbox): Promise<void> {
    if (job.restart === 'after-del') return this.#tearDown(job, old)
    job.sandbox = undefined
    await this.#bringUp(job)
    this.#world.after(this.#world.int(20_000), () => this.#tearDown(job, old))
  }

  async #bringUp(job: Job): Promise<void> {
    const id = `c${++this.#containers}`
    const sandbox: Sandbox = { id, podUid: job.uid, netns: `/run/netns/${id}`, ips: [] }
    job.node.sandboxes.set(id, sandbox)
    try {
      const ips = ipsIn(await job.node.call(addOf(job, sandbox)))
      if (!job.node.sandboxes.has(id)) return
      sandbox.ips = ips
      job.node.answered(sandbox)
      this.addsAnswered++
      if (this.#world.chance(0.1)) await this.#repeat(job, sandbox)
      job.sandbox = sandbox
      this.#patch(job, p => ({ ...p, status: { phase: 'Running', podIP: ips[0] ?? '', podIPs: ips.map(ip => ({ ip })) } }))
    } catch (e) {
      if (e instanceof Contradiction) throw e
      this.addsFailed++
      await this.#tearDown(job, sandbox)
    }
  }

  /** A runtime may ask again; the answer must be the same. */
  async #repeat(job: Job, sandbox: Sandbox): Promise<void> {
    let again: readonly string[]
    try {
      again = ipsIn(await job.node.call(addOf(job, sandbox)))
    } catch {
      return
    }
    if (job.node.sandboxes.has(sandbox.id) && again.join() !== sandbox.ips.join())
      throw new Contradiction(`a repeated ADD of ${sandbox.id} answered ${again.join()}, the first one ${sandbox.ips.join()}`)
  }

  /** DEL until it succeeds, then the namespace goes; a reboot in between has done it all. */
  async #tearDown(job: Job, sandbox: Sandbox): Promise<void> {
    if (job.sandbox === sandbox) job.sandbox = undefined
    while (job.node.sandboxes.has(sandbox.id) && !job.forgetful) {
      try {
        await job.node.call(delOf(sandbox.id))
        break
      } catch {
        await this.#world.sleep(500 + this.#world.int(1000))
      }
    }
    job.node.sandboxes.delete(sandbox.id)
  }

  #patch(job: Job, change: (pod: Pod) => Pod): void {
    const pod = this.#api.read(pods, job.name, 'default')
    if (pod?.metadata.uid === job.uid) this.#api.put(pods, change(pod))
  }
}

export class Contradiction extends Error {}

function addOf(job: Job, { id, netns }: Sandbox): Parameters<SimNode['call']>[0] {
  return { verb: 'ADD', containerId: id, ifName: 'eth0', netns, config, pod: { namespace: 'default', name: job.name, uid: job.uid } }
}

function delOf(containerId: string): Parameters<SimNode['call']>[0] {
  return { verb: 'DEL', containerId, ifName: 'eth0', config }
}

function ipsIn(result: object | undefined): readonly string[] {
  const { ips = [] } = (result ?? {}) as { readonly ips?: readonly { readonly address: string }[] }
  return ips.map(ip => ip.address.replace(/\/\d+$/, ''))
}
