// SPDX-License-Identifier: Apache-2.0
import { type EniConf, readEniConf } from '#config/eni-conf.ts'
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
  #lastError = ''
  #warned = ''
  #running = false
  #again = false
  #cancelRetry = () => {}
  #stopped = false

  constructor(ctx: Context, primaryVSwitch: () => Promise<string | undefined>) {
    this.#ctx = ctx
    this.#primaryVSwitch = primaryVSwitch
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
        this.#read()
        await this.#write()
      } catch (err) {
        this.#ctx.log.warn({ err }, `the Node CR's spec cannot be written: ${messageOf(err)}`)
        await this.#ctx.clock.sleep(retry)
        this.#again = true
      }
    }
    this.#running = false
  }

  /** Takes over a good configuration; tells of a bad one. */
  #read(): void {
    const { facts, log } = this.#ctx
    try {
      const { conf, unknownKeys } = this.#merged()
      facts.conf = conf
      facts.trace.set('config', 'good')
      this.#lastError = ''
      const unknown = unknownKeys.join(', ')
      if (unknown !== this.#warned && unknown !== '')
        log.warn({ keys: unknownKeys }, 'eni_conf has keys that nobody knows; they have no effect')
      this.#warned = unknown
    } catch (e) {
      this.#complain(e)
    }
  }

  #merged(): { readonly conf: EniConf; readonly unknownKeys: readonly string[] } {
    const { host, options } = this.#ctx
    const base = this.#base?.data?.eni_conf ?? host.read(options.configPath)
    if (base === undefined)
      throw new AppError('bad-config', `neither ConfigMap ${options.namespace}/${baseName} nor ${options.configPath} has eni_conf`)
    const override = this.#override?.data?.eni_conf
    const patch = override === undefined ? {} : json(`ConfigMap ${options.namespace}/${this.#overrideName}`, override)
    return readEniConf(applyMerge(json(baseName, base), patch))
  }

  async #write(): Promise<void> {
    const { cluster, kube, facts, options, log } = this.#ctx
    const { node } = cluster
    if (node === undefined || facts.conf === undefined) return
    const zone = node.spec.nodeMetadata?.zoneID ?? ''
    const fallback = facts.conf.vswitches[zone] === undefined ? await this.#primaryVSwitch() : undefined
    let body: unknown
    try {
      body = specPatch(node, facts.conf, fallback)
    } catch (e) {
      this.#complain(e)
      // The metadata service may tell next time; nothing in the cluster would say so.
      this.#cancelRetry()
      this.#cancelRetry = this.#ctx.clock.after(retry, () => this.poke())
      return
    }
    if (body === undefined) return
    await kube.patch(nodeCrs, options.nodeName, { type: 'merge', body: { spec: body } })
    log.info({ patch: body }, "the Node CR's spec was brought to the configuration")
  }

  async #followOverride(): Promise<void> {
    const name = this.#ctx.cluster.k8sNode?.metadata.labels?.[overrideLabel] ?? ''
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

  /** One Event and one log line for each new text. */
  #complain(e: unknown): void {
    const { facts, log, kube, cluster, options } = this.#ctx
    const text = messageOf(e)
    facts.trace.set('config', text)
    if (text === this.#lastError) return
    this.#lastError = text
    log.error(
      { err: e },
      `the configuration is refused, ${facts.conf === undefined ? 'and there is no earlier one' : 'the last good one stays'}: ${text}`,
    )
    const uid = cluster.k8sNode?.metadata.uid
    kube.event({
      about: { apiVersion: 'v1', kind: 'Node', name: options.nodeName, ...(uid === undefined ? {} : { uid }) },
      type: 'Warning',
      reason: isAppError(e) && e.code === 'bad-json' ? 'ParseFailed' : 'ConfigError',
      message: text,
      action: 'Config',
    })
  }
}

function json(what: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (e) {
    throw new AppError('bad-json', `${what}: eni_conf is not JSON`, { cause: e })
  }
}
