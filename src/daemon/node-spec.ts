// SPDX-License-Identifier: Apache-2.0
import { type EniConf, type ParsedConf, readEniConf } from '#config/eni-conf.ts'
import { kubeadmServiceCidrs, type ServiceCidrs, unnamedFamilies } from '#config/service-cidr.ts'
import { Complaint } from '#daemon/complaint.ts'
import type { Context } from '#daemon/context.ts'
import { specPatch } from '#daemon/spec-patch.ts'
import { nodeCrs } from '#kube/crd/node.ts'
import type { Watch } from '#kube/port.ts'
import { type ConfigMap, configMaps } from '#kube/reflect/config-map.ts'
import { AppError, isAppError, messageOf } from '#lib/errors.ts'
import { applyMerge } from '#lib/merge-patch.ts'

const baseName = 'eni-config'
/** Label of the Kubernetes node that names the ConfigMap with the node's own settings (RFC 7396 over the base). */
const overrideLabel = 'terway-config'
const retry = 5_000
/** A role that may not read ConfigMaps never gets an answer. */
const configMapWait = 3_000

/**
 * Keeps the daemon's half of the Node CR's spec as the configuration says. The configuration is read whole whenever the
 * ConfigMaps, the node's label or the Node CR change; a broken one is told by an Event on the node, and the last good one
 * stays in force.
 */
export class NodeSpecWriter {
  readonly #ctx: Context
  readonly #primaryVSwitch: () => Promise<string | undefined>
  #base: ConfigMap | undefined
  #override: ConfigMap | undefined
  #overrideName = ''
  #overrideWatch: Watch | undefined
  /** The last good configuration with the node's own part: only such a one is written. */
  #whole: EniConf | undefined
  /** Of kubeadm, when eni_conf names no network of Services; undefined until it has been asked for. */
  #serviceCidrs: ServiceCidrs | undefined
  readonly #complaint: Complaint
  #warned = ''
  #running = false
  #again = false
  #cancelRetry = () => {}
  #stopped = false

  constructor(ctx: Context, primaryVSwitch: () => Promise<string | undefined>) {
    this.#ctx = ctx
    this.#primaryVSwitch = primaryVSwitch
    this.#complaint = new Complaint(ctx, 'configuration')
  }

  /** Resolves when the base ConfigMap has been looked for once, or after a while: the mounted file serves as well. */
  async start(): Promise<void> {
    const { synced } = this.#follow(baseName, object => {
      this.#base = object
    })
    await Promise.race([synced, this.#ctx.clock.sleep(configMapWait)])
    this.#ctx.cluster.changed.on(() => this.poke())
    this.poke()
  }

  stop(): void {
    this.#stopped = true
    this.#cancelRetry()
  }

  poke(): void {
    this.#again = true
    if (this.#running || this.#stopped) return
    this.#running = true
    void this.#loop()
  }

  async #loop(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false
      try {
        await this.#followOverride()
        const refused = await this.#read()
        if (refused !== undefined) this.#complain(refused)
        // Also then: the last good one may not be in the Node CR yet.
        const unwritable = await this.#write()
        if (refused !== undefined) continue
        if (unwritable === undefined) this.#complaint.settled()
        else this.#complain(unwritable)
      } catch (err) {
        this.#ctx.log.warn({ err }, `the Node CR's spec cannot be written: ${messageOf(err)}`)
        await this.#ctx.clock.sleep(retry)
        this.#again = true
      }
    }
    this.#running = false
  }

  /** Takes over a good configuration; returns what is wrong with a bad one. */
  async #read(): Promise<unknown> {
    const { facts } = this.#ctx
    const missing = this.#missingOverride()
    // Without an earlier one the base serves this process, but the Node CR keeps what it has.
    if (missing !== undefined && facts.conf !== undefined) return missing
    try {
      const { conf, unknownKeys, idleKeys } = this.#merged()
      facts.conf = unnamedFamilies(conf, conf.ipStack).length > 0 ? { ...(await this.#kubeadm(conf)), ...conf } : conf
      this.#warn(unknownKeys, idleKeys)
      if (missing === undefined) this.#whole = facts.conf
      return missing
    } catch (e) {
      return e
    }
  }

  #missingOverride(): AppError | undefined {
    if (this.#overrideName === '' || this.#override !== undefined) return undefined
    const name = `${this.#ctx.options.namespace}/${this.#overrideName}`
    return new AppError('bad-config', `ConfigMap ${name}, which the node's label ${overrideLabel} names, does not exist or cannot be read`)
  }

  #merged(): ParsedConf {
    const { host, options } = this.#ctx
    const base = this.#base?.data?.eni_conf ?? host.read(options.configPath)
    if (base === undefined)
      throw new AppError('bad-config', `neither ConfigMap ${options.namespace}/${baseName} nor ${options.configPath} has eni_conf`)
    const override = this.#override?.data?.eni_conf
    const patch = override === undefined ? {} : json(`ConfigMap ${options.namespace}/${this.#overrideName}`, override)
    const parsed = readEniConf(applyMerge(json(baseName, base), patch))
    const { ipStack } = parsed.conf
    if (ipStack !== 'ipv4' && host.ipv6?.() === false)
      throw new AppError('bad-config', `eni_conf: ip_stack is "${ipStack}", but the kernel of this node has no IPv6 (ipv6.disable=1?)`)
    return parsed
  }

  /** Once for each set of keys. */
  #warn(unknownKeys: readonly string[], idleKeys: readonly string[]): void {
    const { log } = this.#ctx
    const all = JSON.stringify([unknownKeys, idleKeys])
    if (all === this.#warned) return
    this.#warned = all
    if (unknownKeys.length > 0) log.warn({ keys: unknownKeys }, 'eni_conf has keys that nobody knows; they have no effect')
    if (idleKeys.length > 0) log.warn({ keys: idleKeys }, 'eni_conf has keys of Terway that have no effect here')
  }

  /** Only plugins over gRPC are told the network of Services, so its absence stops nothing; said once. */
  async #kubeadm(conf: EniConf): Promise<ServiceCidrs> {
    const { kube, log } = this.#ctx
    if (this.#serviceCidrs !== undefined) return this.#serviceCidrs
    try {
      this.#serviceCidrs = await kubeadmServiceCidrs((await kube.get(configMaps, 'kubeadm-config', 'kube-system'))?.data ?? {})
      const unnamed = unnamedFamilies({ ...this.#serviceCidrs, ...conf }, conf.ipStack).map(f => `IPv${f}`)
      if (unnamed.length === 0) return this.#serviceCidrs
      const words = `names an ${unnamed.join(' or ')} network of Services`
      log.warn({}, `neither service_cidr of eni_conf nor ConfigMap kube-system/kubeadm-config ${words}`)
    } catch (err) {
      if (isAppError(err) && (err.code === 'unavailable' || err.code === 'throttled')) return {}
      this.#serviceCidrs = {}
      log.warn({ err }, `eni_conf names too few service_cidr, and ConfigMap kube-system/kubeadm-config cannot be read: ${messageOf(err)}`)
    }
    return this.#serviceCidrs
  }

  /** Brings the Node CR to the last good configuration; returns what is wrong when that cannot be. */
  async #write(): Promise<unknown> {
    const { cluster, kube, options, log, facts } = this.#ctx
    const { node } = cluster
    const conf = this.#whole
    if (node === undefined || conf === undefined) return undefined
    const zone = node.spec.nodeMetadata?.zoneID ?? ''
    const fallback = conf.vswitches[zone] === undefined ? await this.#primaryVSwitch() : undefined
    let body: unknown
    try {
      body = specPatch(node, conf, fallback, facts.datapath?.kind)
    } catch (e) {
      // The metadata service may tell next time; nothing in the cluster would say so.
      this.#cancelRetry()
      this.#cancelRetry = this.#ctx.clock.after(retry, () => this.poke())
      return e
    }
    if (body === undefined) return undefined
    await kube.patch(nodeCrs, options.nodeName, { type: 'merge', body: { spec: body } })
    log.info({ patch: body }, "the Node CR's spec was brought to the configuration")
    return undefined
  }

  async #followOverride(): Promise<void> {
    const { k8sNode } = this.#ctx.cluster
    // A node that is gone from the cluster names nothing: what it named last stays.
    const name = k8sNode === undefined ? this.#overrideName : (k8sNode.metadata.labels?.[overrideLabel] ?? '')
    if (name === this.#overrideName) return
    this.#overrideName = name
    this.#overrideWatch?.stop()
    this.#overrideWatch = undefined
    this.#override = undefined
    if (name === '') return
    this.#overrideWatch = this.#follow(name, object => {
      if (this.#overrideName === name) this.#override = object
    })
    await Promise.race([this.#overrideWatch.synced, this.#ctx.clock.sleep(configMapWait)])
  }

  #follow(name: string, set: (object: ConfigMap | undefined) => void): Watch {
    const { cluster, kube, options } = this.#ctx
    return cluster.follow(kube, configMaps, { namespace: options.namespace, fieldSelector: `metadata.name=${name}` }, set)
  }

  #complain(e: unknown): void {
    this.#complaint.tell(e, this.#ctx.facts.conf === undefined ? 'and there is no earlier one' : 'the last good one stays')
  }
}

function json(what: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (e) {
    throw new AppError('bad-json', `${what}: eni_conf is not JSON`, { cause: e })
  }
}
