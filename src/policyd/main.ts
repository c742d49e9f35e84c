// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from 'node:fs'
import { makePinnedMaps } from '#kernel/pinned-maps.ts'
import { KubeClient } from '#kube/client.ts'
import { loadConfig } from '#kube/config.ts'
import { realClock } from '#lib/clock.ts'
import { AppError } from '#lib/errors.ts'
import { type Logger, makeLogger } from '#lib/log.ts'
import { type PolicyMetrics, policyMetrics } from '#lib/metrics.ts'
import { type Decision, followDecision } from '#policyd/decision.ts'
import { decisionPath, defaultOptions } from '#policyd/deps.ts'
import { defaultListen, exposedRoutes } from '#policyd/expose.ts'
import { type Flags, parseFlags } from '#policyd/flags.ts'
import { Policyd } from '#policyd/policyd.ts'
import { Shift } from '#policyd/shift.ts'
import { askToCut, debugSocket } from '#rpc/http/cut.ts'
import { serveHttp } from '#rpc/http/serve.ts'

/** terwayd remembers the API servers' own addresses there. */
const endpointsPath = '/var/lib/cni/terway/endpoints.json'

async function main(): Promise<void> {
  const flags = parseFlags(process.argv.slice(2))
  const log = makeLogger('terway-policy', process.env.LOG_LEVEL ?? flags.logLevel)
  const nodeName = process.env.NODE_NAME ?? ''
  if (nodeName === '') throw new AppError('bad-flag', 'NODE_NAME is not set: the DaemonSet sets it from spec.nodeName')
  const metrics = policyMetrics()
  const shift = new Shift(decision => begin(decision, { nodeName, log, metrics, ...flags }), ended, log)
  const exposed = await serveHttp(
    process.env.TERWAY_POLICY_LISTEN || defaultListen,
    exposedRoutes(() => shift.view(nodeName), metrics),
    log,
  )
  const stopper = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopper.abort(signal))
  const read = () => (existsSync(decisionPath) ? readFileSync(decisionPath, 'utf8') : undefined)
  await followDecision(read, realClock, stopper.signal, decision => shift.hear(decision))
  log.info({ signal: stopper.signal.reason }, 'stopping; Services stay as they are')
  await Promise.all([exposed.close(), shift.end()])
  process.exit(0)
}

interface Setting extends Pick<Flags, 'kubeconfig' | 'besideKubeProxy'> {
  readonly nodeName: string
  readonly log: Logger
  readonly metrics: PolicyMetrics
}

/** What the work needs: the maps and connections to the API server. They end with it. */
async function begin({ algorithm }: Decision, { nodeName, kubeconfig, besideKubeProxy, log, metrics }: Setting) {
  const env = kubeconfig === '' ? process.env : { ...process.env, KUBECONFIG: kubeconfig }
  const config = await loadConfig({ env, endpointsFile: endpointsPath })
  const kernel = makePinnedMaps()
  const kube = new KubeClient({ config, clock: realClock, reporter: { controller: 'terway-policy', instance: nodeName } })
  const options = { ...defaultOptions, nodeName, besideKubeProxy, services: { maglev: algorithm === 'maglev' } }
  const policyd = new Policyd({ kube, kernel, clock: realClock, log, metrics, cutSockets: gone => askToCut(debugSocket, gone) }, options)
  return {
    policyd,
    close: async () => {
      await policyd.stop()
      await kube.close()
      kernel.close()
    },
  }
}

/** The maps keep what they have, and the next process goes on from there. */
function ended(err: unknown): never {
  makeLogger('terway-policy').error({ err }, 'terway-policy cannot go on')
  process.exit(1)
}

main().catch(ended)
