// SPDX-License-Identifier: Apache-2.0
import { add, addAgain } from '#daemon/add.ts'
import { check } from '#daemon/check.ts'
import { Cluster } from '#daemon/cluster.ts'
import { CniConf } from '#daemon/cni-conf.ts'
import { type Context, currentBinding, currentPool, currentStack, type Facts } from '#daemon/context.ts'
import { del } from '#daemon/del.ts'
import type { Deps, Options } from '#daemon/deps.ts'
import { EniModeKeeper } from '#daemon/eni-mode.ts'
import { ForeignHooks } from '#daemon/foreign-hooks.ts'
import { gc } from '#daemon/gc.ts'
import { PodGc } from '#daemon/gc-pods.ts'
import { leaseService } from '#daemon/lease-service.ts'
import { NodeDatapathKeeper } from '#daemon/node-datapath.ts'
import { NodeSpecWriter } from '#daemon/node-spec.ts'
import type { Verb } from '#daemon/observer.ts'
import { Pods } from '#daemon/pods.ts'
import { ProgramSampler } from '#daemon/program-sampler.ts'
import { Reaper } from '#daemon/reaper.ts'
import { Repair } from '#daemon/repair.ts'
import { Report } from '#daemon/report.ts'
import { resyncKernel, resyncLedger } from '#daemon/resync.ts'
import { Limit, Serial } from '#daemon/serial.ts'
import { Signal } from '#daemon/signal.ts'
import type { DaemonState } from '#daemon/state.ts'
import { status } from '#daemon/status.ts'
import { WaitList } from '#daemon/wait.ts'
import { whyOf } from '#daemon/why.ts'
import { Book } from '#ipam/book.ts'
import { limitsOf } from '#ipam/node-pool.ts'
import { AppError, messageOf, unreachable } from '#lib/errors.ts'
import type { CniRequest } from '#rpc/cni-message.ts'
import { type CniServerOptions, serveCni } from '#rpc/cni-server.ts'
import type { LeaseService } from '#rpc/grpc/port.ts'

/** How CNI requests come in: a unix socket, or a test's own calls. */
export type ServeCni = (options: CniServerOptions) => Promise<{ close(closed: () => void): unknown }>

export interface Daemon {
  readonly state: DaemonState
  readonly leases: LeaseService
  /** Resolves when CNI is served and the configuration list is written; rejects only when stopped before. */
  readonly ready: Promise<void>
  stop(): Promise<void>
}

/**
 * Starts terwayd over its dependencies: first what the ledger alone can put right, then CNI (DEL and STATUS work from here
 * on), then the cluster's view; the node is announced as ready last. Resolves when the CNI socket is open.
 */
export async function startDaemon(deps: Deps, options: Options, serve: ServeCni = serveCni): Promise<Daemon> {
  const stopping = new AbortController()
  const ctx = makeContext(deps, options, stopping.signal)
  await resyncLedger(ctx)
  const server = await serve({
    path: options.cniSocket,
    handler: (request, received) => answer(ctx, request, received),
    log: deps.log,
    now: () => deps.clock.now(),
    answered: (verb, code, ms) => {
      if (isVerb(verb)) deps.observer.verb(verb, code, ms)
    },
  })
  const repair = new Repair(ctx)
  const parts = {
    report: new Report(ctx, (id, uid) => ctx.pods.goneFor(id, uid) > options.podGoneFloor),
    spec: new NodeSpecWriter(ctx, deps.primaryVSwitch),
    repair,
    eniMode: new EniModeKeeper(ctx),
    datapath: new NodeDatapathKeeper(ctx, repair),
    foreignHooks: new ForeignHooks(ctx),
    sampler: new ProgramSampler(ctx),
    podGc: new PodGc(ctx),
    cniConf: new CniConf(ctx),
  }
  const ready = bringUp(ctx, parts)
  // Whoever does not wait for it must not be killed by its rejection.
  ready.catch(() => {})
  return {
    state: stateOf(ctx),
    leases: leaseService(ctx),
    ready,
    stop: async () => {
      stopping.abort(new AppError('stopping', 'the daemon stops'))
      ctx.waits.cancelAll()
      for (const part of [...Object.values(parts), ctx.cluster, ctx.pods, ctx.reaper]) part.stop()
      await new Promise<void>(resolve => server.close(() => resolve()))
    },
  }
}

interface Parts {
  readonly report: Report
  readonly spec: NodeSpecWriter
  readonly repair: Repair
  readonly eniMode: EniModeKeeper
  readonly datapath: NodeDatapathKeeper
  readonly foreignHooks: ForeignHooks
  readonly sampler: ProgramSampler
  readonly podGc: PodGc
  readonly cniConf: CniConf
}

function makeContext(deps: Deps, options: Options, stopping: AbortSignal): Context {
  const book = new Book(deps.ledger)
  const poolChanged = new Signal()
  const facts: Facts = {
    conf: undefined,
    plugin: undefined,
    eniMode: 'unknown',
    datapath: undefined,
    readBack: 'pending',
    adopted: false,
    notReady: 'starting',
    trace: new Map(),
  }
  const ctx: Context = {
    ...deps,
    options,
    stopping,
    book,
    cluster: new Cluster(deps),
    pods: new Pods(deps, options, () => facts.eniMode),
    waits: new WaitList(deps.clock),
    reaper: new Reaper(deps, book),
    poolChanged,
    perPod: new Serial(),
    perSandbox: new Serial(),
    kernelSlots: new Limit(options.concurrency),
    facts,
  }
  book.onCommit(() => poolChanged.fire())
  ctx.cluster.changed.on(() => poolChanged.fire())
  ctx.pods.changed.on(() => poolChanged.fire())
  return ctx
}

/** Anything else that a client wrote into CNI_COMMAND stays out of the metrics. */
function isVerb(text: string): text is Verb {
  return ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'].includes(text)
}

/** The slow half of the start, in the order in which one thing needs the other; each step tries again until it succeeds. */
async function bringUp(
  ctx: Context,
  { report, spec, repair, eniMode, datapath, foreignHooks, sampler, podGc, cniConf }: Parts,
): Promise<void> {
  const { cluster, pods, kube, options, facts } = ctx
  // Before anything is compared: the pods have what this node gave them.
  await datapath.restore()
  repair.start()
  repair.poke()
  facts.notReady = 'waiting for the first answers of the API server'
  await Promise.all([cluster.start(kube, options.nodeName, options.namespace), pods.start()])
  facts.notReady = 'waiting for the configuration'
  await spec.start()
  await holds(ctx, 'the configuration is not usable', () => facts.conf !== undefined)
  await holds(ctx, `the Node CR ${options.nodeName} does not exist: the controller creates it`, () => cluster.node !== undefined)
  await eniMode.start()
  facts.notReady = 'choosing the datapath'
  datapath.changed.on(() => spec.poke())
  await datapath.start()
  facts.notReady = 'comparing the kernel with the ledger'
  await trying(ctx, 'compare the kernel with the ledger', () => resyncKernel(ctx))
  facts.adopted = true
  ctx.poolChanged.on(() => report.poke())
  report.poke()
  podGc.start()
  foreignHooks.start()
  sampler.start()
  await cniConf.start()
  facts.notReady = ''
  ctx.log.info({ node: options.nodeName }, 'ready')
  ctx.poolChanged.fire()
}

async function holds(ctx: Context, reason: string, condition: () => boolean): Promise<void> {
  while (!condition()) {
    const told = ctx.facts.trace.get('configuration') ?? 'good'
    ctx.facts.notReady = told === 'good' ? reason : `${reason}: ${told}`
    await ctx.poolChanged.next(ctx.clock, 1_000, ctx.stopping)
    ctx.stopping.throwIfAborted()
  }
}

async function trying(ctx: Context, what: string, step: () => Promise<boolean>): Promise<void> {
  for (;;) {
    try {
      if (await step()) return
    } catch (err) {
      ctx.facts.notReady = `cannot ${what}: ${messageOf(err)}`
      ctx.log.error({ err }, ctx.facts.notReady)
    }
    await ctx.clock.sleep(1_000, ctx.stopping)
  }
}

async function answer(ctx: Context, request: CniRequest, received: number): Promise<object | undefined> {
  switch (request.verb) {
    case 'ADD':
      return request.config.again ? addAgain(ctx, request) : add(ctx, request, received)
    case 'DEL':
      // Plugins before put the pod's interface back as it was, and need it for that.
      if (request.config.again !== true) await del(ctx, request)
      return undefined
    case 'CHECK':
      await check(ctx, request)
      return undefined
    case 'GC':
      await gc(ctx, request)
      return undefined
    case 'STATUS':
      await status(ctx)
      return undefined
    default:
      return unreachable(request)
  }
}

function stateOf(ctx: Context): DaemonState {
  return {
    nodeName: ctx.options.nodeName,
    leases: () => ctx.book.leases(),
    cooling: () => ctx.book.cooling(),
    releases: () => ctx.book.releases(),
    pool: () => currentPool(ctx),
    limits: () => limitsOf(ctx.cluster.node),
    eniMode: () => ctx.facts.eniMode,
    binding: () => currentBinding(ctx),
    waiting: () => ctx.waits.all(),
    readiness: () => (ctx.facts.notReady === '' ? { ready: true } : { ready: false, reason: ctx.facts.notReady }),
    trace: () => ({
      ...Object.fromEntries(ctx.facts.trace),
      ...Object.fromEntries([...ctx.cluster.lastEvent].map(([kind, at]) => [`watch ${kind}`, new Date(at).toISOString()])),
    }),
    why: (namespace, name) =>
      whyOf({
        namespace,
        name,
        nodeName: ctx.options.nodeName,
        pod: ctx.pods.get(`${namespace}/${name}`),
        leases: ctx.book.leases(),
        waiting: ctx.waits.all(),
        pool: currentPool(ctx),
        binding: currentBinding(ctx),
        mode: ctx.facts.eniMode,
        stack: currentStack(ctx),
        notReady: ctx.facts.notReady,
        now: ctx.clock.wall(),
      }),
  }
}
