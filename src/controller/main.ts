// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { type Credentials, firstOf, instanceRole, tokenFile, vendorChain } from '#cloud/credentials.ts'
import { makeEcs } from '#cloud/ecs.ts'
import { governed } from '#cloud/execute.ts'
import { defaultMetadataBase, type Metadata, makeMetadata } from '#cloud/metadata.ts'
import { makeThrottle, type Throttle } from '#cloud/throttle.ts'
import { endpointsFrom, makeRpc } from '#cloud/transport.ts'
import { makeVpc } from '#cloud/vpc.ts'
import { type ControllerConfig, parseControllerConfig, parseSecret, type Secret } from '#controller/config.ts'
import { crdsInstalled } from '#controller/crds.ts'
import { type ControllerDeps, type ControllerOptions, decisions, defaultControllerOptions } from '#controller/deps.ts'
import { parseFlags } from '#controller/flags.ts'
import { cloudObserver, controllerObserver, showControllers } from '#controller/observer.ts'
import { Readiness } from '#controller/readiness.ts'
import { regionOf } from '#controller/region.ts'
import { runController } from '#controller/run.ts'
import { secretKey } from '#controller/secret-key.ts'
import { KubeClient } from '#kube/client.ts'
import { loadConfig } from '#kube/config.ts'
import { definitions } from '#kube/crd/definitions.ts'
import { Election, identityPrefix, type Leadership } from '#kube/elect.ts'
import { realClock } from '#lib/clock.ts'
import { AppError } from '#lib/errors.ts'
import { type Logger, makeLogger } from '#lib/log.ts'
import { type ControllerMetrics, controllerMetrics } from '#lib/metrics.ts'
import { metricsRoute, probeRoute } from '#rpc/http/routes.ts'
import { serveHttp } from '#rpc/http/serve.ts'

async function main(): Promise<void> {
  const flags = parseFlags(process.argv.slice(2))
  const log = makeLogger('terway-controlplane')
  const { config, unknownKeys } = parseControllerConfig(readFileSync(flags.config, 'utf8'))
  if (unknownKeys.length > 0) log.warn({ keys: unknownKeys }, 'ctrl-config.yaml has keys that nobody knows; they have no effect')
  const secret = flags.credential === '' ? undefined : parseSecret(readFileSync(flags.credential, 'utf8'))
  const metrics = controllerMetrics()
  const kube = new KubeClient({
    config: await loadConfig({ env: process.env }),
    clock: realClock,
    reporter: { controller: config.controllerName, instance: hostname() },
  })
  const throttle = makeThrottle(realClock, config.rateLimit)
  const readiness = new Readiness(kube, { name: config.controllerName, namespace: config.controllerNamespace })
  // First of all: whoever waits lives, and the kubelet must see it.
  await serve(config, throttle, metrics, readiness, log)
  const parts = { secret, secretPath: flags.credential, kube, throttle, metrics, log }
  const deps = await readiness.until('the metadata service has not told the region', makeDeps(config, parts))
  await readiness.until('the CRDs are not installed', crdsInstalled(kube, realClock, definitions, log))
  const stop = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      log.info({ signal }, 'stopping; the lease is released')
      stop.abort(new AppError('stopping', `${signal} received`))
    })
  }
  const lead = (leadership: Leadership) => leadUntilLost(deps, config, leadership, readiness)
  const kept = await elected(config, kube, lead, stop.signal, log)
  if (!kept) log.error({}, 'leadership was lost; the process ends and is started again')
  process.exit(kept ? 0 : 1)
}

interface Parts {
  readonly secret: Secret | undefined
  readonly secretPath: string
  readonly kube: KubeClient
  readonly throttle: Throttle
  readonly metrics: ControllerMetrics
  readonly log: Logger
}

async function makeDeps(config: ControllerConfig, parts: Parts): Promise<ControllerDeps> {
  const { secret, secretPath, kube, throttle, metrics, log } = parts
  const metadata = makeMetadata(realClock, process.env.ALIBABA_CLOUD_IMDS_ENDPOINT || defaultMetadataBase)
  const region = await regionOf(config.regionId, metadata, realClock, log)
  const endpoints = endpointsFrom(process.env, region)
  const credentials = credentialsOf(secret, secretPath, metadata)
  const cloud = { ...makeEcs(makeRpc('ecs', endpoints, credentials)), ...makeVpc(makeRpc('vpc', endpoints, credentials)) }
  const cloudFor = governed(cloud, { clock: realClock, throttle, observer: cloudObserver(metrics, log) })
  return { kube, cloudFor, throttle, clock: realClock, log, observer: controllerObserver(metrics), decisions }
}

/** Access key, then the encrypted token file, then the vendor's chain, then the instance's RAM role. */
function credentialsOf(secret: Secret | undefined, secretPath: string, metadata: Metadata): Credentials {
  if (secret !== undefined && secret.accessKey !== '') return secretKey(secretPath)
  const file = secret === undefined || secret.credentialPath === '' ? [] : [tokenFile(secret.credentialPath, realClock)]
  const chained = process.env.ALIBABA_CLOUD_ACCESS_KEY_ID !== undefined || process.env.ALIBABA_CLOUD_OIDC_TOKEN_FILE !== undefined
  return firstOf([...file, ...(chained ? [vendorChain()] : []), instanceRole(metadata, realClock)])
}

function optionsOf(config: ControllerConfig): ControllerOptions {
  const { clusterId, vpcId, nodeConcurrency, nodeLabelWhiteList, syncPeriod, adjustPeriod, minFailureDelay, maxFailureDelay } = config
  return {
    ...defaultControllerOptions,
    clusterId,
    vpcId,
    nodeConcurrency,
    nodeLabelWhiteList,
    syncPeriod,
    adjustPeriod,
    minFailureDelay,
    maxFailureDelay,
  }
}

/** /healthz says that the process lives, /readyz what it waits for; who waits for which API is on /waiting of the metrics address. */
async function serve(
  config: ControllerConfig,
  throttle: Throttle,
  metrics: ControllerMetrics,
  readiness: Readiness,
  log: Logger,
): Promise<void> {
  const probes = { '/healthz': probeRoute(() => ({ ok: true })), '/readyz': probeRoute(() => readiness.check()) }
  await serveHttp(config.healthzBindAddress, probes, log)
  showControllers(metrics, config.nodeConcurrency)
  if (config.metricsBindAddress === '0') return
  const routes = { '/metrics': metricsRoute(metrics.registry), '/waiting': () => ({ status: 200, body: throttle.waiting() }) }
  await serveHttp(config.metricsBindAddress, routes, log)
}

/** Whether it ended by itself or by `stop`; false when leadership was lost. */
async function elected(
  config: ControllerConfig,
  kube: KubeClient,
  lead: (l: Leadership) => Promise<void>,
  stop: AbortSignal,
  log: Logger,
): Promise<boolean> {
  if (!config.leaderElection) {
    await lead({ identity: `${identityPrefix}${hostname()}`, signal: stop, assertLeader: () => undefined })
    return true
  }
  const election = new Election({
    kube,
    clock: realClock,
    namespace: config.controllerNamespace,
    name: config.controllerName,
    hostname: hostname(),
    times: config.election,
  })
  let told = ''
  return election.run(lead, stop, reason => {
    // Each try has a reason, every few seconds for as long as another leads.
    if (reason !== told) log.info({ reason }, 'waiting for leadership')
    told = reason
  })
}

async function leadUntilLost(deps: ControllerDeps, config: ControllerConfig, leadership: Leadership, readiness: Readiness): Promise<void> {
  deps.log.info({ identity: leadership.identity }, 'leading')
  const running = runController(deps, optionsOf(config), leadership, config.vSwitchCache)
  readiness.until('the watches have not delivered the cluster yet', running.ready).then(() => deps.log.info({}, 'the cluster is known'))
  await new Promise<void>(resolve => {
    if (leadership.signal.aborted) resolve()
    else leadership.signal.addEventListener('abort', () => resolve(), { once: true })
  })
  running.stop()
}

main().catch((err: unknown) => {
  makeLogger('terway-controlplane').error({ err }, 'terway-controlplane cannot start')
  process.exit(1)
})
