// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, openSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { defaultMetadataBase, makeMetadata } from '#cloud/metadata.ts'
import { startDaemon } from '#daemon/daemon.ts'
import { type Deps, defaultOptions, type Options } from '#daemon/deps.ts'
import { metricsObserver } from '#daemon/expose/observer.ts'
import { defaultAddresses, expose } from '#daemon/expose/serve.ts'
import { parseFlags } from '#daemon/flags.ts'
import { bootId, realHost } from '#daemon/host.ts'
import { programsOf } from '#daemon/programs.ts'
import { shutDown } from '#daemon/shut-down.ts'
import { makeDatapath } from '#datapath/engine.ts'
import { cutSockets } from '#datapath/v2/cut-sockets.ts'
import { namespacesWithEni } from '#datapath/v2/served-pod.ts'
import type { Ledger } from '#ipam/ledger.ts'
import { openLedger } from '#ipam/ledger-sqlite.ts'
import { tryLock } from '#kernel/ffi.ts'
import { makeKernel } from '#kernel/kernel.ts'
import { KubeClient } from '#kube/client.ts'
import { loadConfig } from '#kube/config.ts'
import { rememberEndpoints } from '#kube/endpoints.ts'
import { poll } from '#lib/backoff.ts'
import { realClock } from '#lib/clock.ts'
import { AppError } from '#lib/errors.ts'
import { type Logger, makeLogger } from '#lib/log.ts'
import { type DaemonMetrics, daemonMetrics } from '#lib/metrics.ts'

const ledgerPath = '/var/lib/cni/terway/ledger.db'
const endpointsPath = '/var/lib/cni/terway/endpoints.json'
const lockPath = '/var/run/eni/terwayd.lock'
const bootMark = '/var/run/eni/boot_id'

async function main(): Promise<void> {
  const flags = parseFlags(process.argv.slice(2))
  const log = makeLogger('terwayd', process.env.LOG_LEVEL ?? flags.logLevel)
  const nodeName = process.env.NODE_NAME ?? ''
  if (nodeName === '') throw new AppError('bad-flag', 'NODE_NAME is not set: the DaemonSet sets it from spec.nodeName')
  const options: Options = {
    ...defaultOptions,
    nodeName,
    namespace: process.env.POD_NAMESPACE || 'kube-system',
    configPath: flags.config,
    kubeProxyReplacement: flags.kubeProxyReplacement,
  }
  await soleOwner()
  const ledger = openStore(log)
  const metrics = daemonMetrics()
  const kernel = await makeKernel(existsSync('/host/proc/sys') ? { procRoot: '/host/proc' } : {})
  const deps: Deps = {
    kube: await connect(flags.kubeconfig, nodeName),
    datapath: makeDatapath(kernel, { clock: realClock, log }),
    programs: programsOf(kernel),
    ledger,
    clock: realClock,
    log,
    observer: metricsObserver(metrics),
    host: realHost,
    primaryVSwitch: () => primaryVSwitch(metrics),
  }
  const daemon = await startDaemon(deps, options)
  const endpoints = rememberEndpoints(deps.kube, endpointsPath, err =>
    log.warn({ err }, 'the API servers cannot be remembered for the next start'),
  )
  // A single configuration that an older release left: its name sorts before the list's.
  daemon.ready.then(() => rmSync(join(options.hostCniDir, '10-terway.conf'), { force: true })).catch(() => {})
  const exposed = await expose(
    {
      state: daemon.state,
      leases: daemon.leases,
      metrics,
      clock: realClock,
      log,
      config: { config_file_path: flags.config, daemon_mode: 'ENIMultiIP' },
      cutSockets: gone => cutSockets(kernel, gone, namespacesWithEni(daemon.state.leases().map(l => l.attachment))),
    },
    { ...defaultAddresses, debug: flags.readonlyListen, probes: process.env.TERWAY_PROBE_LISTEN ?? defaultAddresses.probes },
  )
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      log.info({ signal }, 'stopping; pods keep their network')
      endpoints.stop()
      void shutDown({ exposed, daemon, datapath: deps.datapath, ledger }, realClock).then(() => process.exit(0))
    })
  }
}

/**
 * One terwayd per node: the lock file is Terway's, so that a Go daemon counts too; a predecessor that still stops is waited
 * for, 5 s. The file stays open, and locked, until the process ends.
 */
async function soleOwner(): Promise<void> {
  mkdirSync(dirname(lockPath), { recursive: true })
  const fd = openSync(lockPath, 'w', 0o600)
  const waits = { initialDelay: 0, duration: 200, factor: 1, jitter: 0, steps: 25 }
  const locked = await poll(realClock, waits, async () => (tryLock(fd) ? true : undefined))
  if (locked === undefined) throw new AppError('ledger-locked', `another terwayd holds ${lockPath}`)
}

function openStore(log: Logger): Ledger {
  const stamp = new Date(realClock.wall()).toISOString().replaceAll(':', '')
  const { ledger, rebuilt } = openLedger({ path: ledgerPath, bootId: bootId(bootMark, () => realClock.uuid()), stamp })
  if (rebuilt !== undefined) log.error(rebuilt, 'the ledger was unreadable: it is kept aside, leases are taken from kernel and cluster')
  return ledger
}

async function connect(kubeconfig: string, nodeName: string): Promise<KubeClient> {
  const env = kubeconfig === '' ? process.env : { ...process.env, KUBECONFIG: kubeconfig }
  const config = await loadConfig({ env, endpointsFile: endpointsPath })
  return new KubeClient({ config, clock: realClock, reporter: { controller: 'terway-daemon', instance: nodeName } })
}

/** From the metadata service, by the MAC of the primary interface. */
async function primaryVSwitch(metrics: DaemonMetrics): Promise<string | undefined> {
  const base = process.env.ALIBABA_CLOUD_IMDS_ENDPOINT || defaultMetadataBase
  const metadata = makeMetadata(realClock, base, undefined, (url, failed, ms) =>
    metrics.metadataLatency.observe({ url, error: String(failed) }, ms),
  )
  try {
    const mac = await metadata.get('mac')
    return mac === undefined ? undefined : await metadata.get(`network/interfaces/macs/${mac}/vswitch-id`)
  } catch {
    return undefined
  }
}

main().catch((err: unknown) => {
  makeLogger('terwayd').error({ err }, 'terwayd cannot start')
  // What was started by then would keep the process, half alive: the next one starts afresh.
  process.exit(1)
})
