// SPDX-License-Identifier: Apache-2.0
// A whole terwayd in a process of its own, for tests that kill it: real ledger, kernel and sockets; the API server is the parent.
import { startDaemon } from '#daemon/daemon.ts'
import type { Options } from '#daemon/deps.ts'
import { metricsObserver } from '#daemon/expose/observer.ts'
import type { Addresses } from '#daemon/expose/serve.ts'
import { realHost } from '#daemon/host.ts'
import { programsOf } from '#daemon/programs.ts'
import { makeDatapath } from '#datapath/engine.ts'
import { openLedger } from '#ipam/ledger-sqlite.ts'
import { makeKernel } from '#kernel/kernel.ts'
import { realClock } from '#lib/clock.ts'
import { makeLogger } from '#lib/log.ts'
import { daemonMetrics } from '#lib/metrics.ts'
import { IpcKube } from './kube-ipc.ts'

/** In the environment variable TERWAYD_TEST, as JSON. */
export interface TerwaydConfig {
  readonly options: Options
  readonly ledgerPath: string
  readonly bootId: string
  /** Where gRPC, metrics and probes are served, if at all. */
  readonly exposed?: Addresses
  /** Where programs are pinned, on a BPF file system of the test. */
  readonly pins?: string
}

const { options, ledgerPath, bootId, exposed, pins } = JSON.parse(process.env.TERWAYD_TEST ?? '') as TerwaydConfig
const log = makeLogger('terwayd', process.env.LOG_LEVEL ?? 'silent')
const { ledger, rebuilt } = openLedger({ path: ledgerPath, bootId, stamp: 'test' })
if (rebuilt !== undefined) log.error(rebuilt, 'the ledger was unreadable')
const metrics = daemonMetrics()
const kernel = await makeKernel(pins === undefined ? {} : { pins })
const datapath = makeDatapath(kernel, { clock: realClock, log })
const daemon = await startDaemon(
  {
    kube: new IpcKube(),
    datapath,
    programs: programsOf(kernel),
    ledger,
    clock: realClock,
    log,
    observer: metricsObserver(metrics),
    host: realHost,
    primaryVSwitch: async () => undefined,
  },
  options,
)
if (exposed !== undefined) {
  const { expose } = await import('#daemon/expose/serve.ts')
  await expose(
    {
      state: daemon.state,
      leases: daemon.leases,
      metrics,
      clock: realClock,
      log,
      config: { daemon_mode: 'ENIMultiIP' },
      cutSockets: async () => 0,
    },
    exposed,
  )
}
process.once('SIGTERM', () => {
  void daemon.stop().then(async () => {
    await datapath.close()
    ledger.close()
    process.exit(0)
  })
})
await daemon.ready
process.send?.({ ready: true })
