// SPDX-License-Identifier: Apache-2.0
import type { CliDeps, EventSource } from '#cli/deps.ts'
import { endpointRows } from '#cli/endpoint.ts'
import { begin, end, say } from '#cli/look-on.ts'
import { type EventFilter, type EventNames, eventLine, eventRow, isWanted } from '#cli/monitor-row.ts'
import { podNames } from '#cli/node-view.ts'
import { type Output, print } from '#cli/output.ts'
import { maps } from '#kernel/bpf/maps.ts'
import type { Event } from '#kernel/bpf/ring.ts'
import { dropReasons } from '#kernel/bpf/words.ts'
import { observeHost } from '#kernel/host.ts'
import type { Kernel } from '#kernel/port.ts'
import { realClock, sleepUnlessAborted } from '#lib/clock.ts'
import { AppError } from '#lib/errors.ts'
import { withPort } from '#net/ip.ts'

export interface MonitorOptions extends EventFilter {
  /** One of so many packets that pass is shown; 0 = none but first ones of flows to Services. */
  readonly samples: number
  /** Until when; undefined = until it is stopped. Milliseconds. */
  readonly duration?: number
  readonly output: Output
}

/** Milliseconds between two looks at the ring, two words that somebody is here, and two looks at the names of pods. */
const [look, beat, naming] = [50, 1000, 10_000]

/** Prints what the programs tell until it is stopped. They tell only while this, or another one, runs. */
export async function monitor(deps: CliDeps, socket: string, options: MonitorOptions): Promise<void> {
  if (options.reason !== undefined && !Object.hasOwn(dropReasons, options.reason))
    throw new AppError('bad-argument', `--reason is one of ${Object.keys(dropReasons).join(', ')}, not ${options.reason}`)
  const kernel = await deps.kernel()
  try {
    const events = await deps.events()
    try {
      await watch(deps, socket, kernel, events, options)
    } finally {
      events.close()
    }
  } finally {
    await kernel.close()
  }
}

async function watch(deps: CliDeps, socket: string, kernel: Kernel, source: EventSource, options: MonitorOptions): Promise<void> {
  const stopped = deps.stopped()
  const untold = await countUntold(kernel)
  let names = await namesOf(deps, socket, kernel)
  const at = await begin(kernel, options.samples)
  const started = realClock.now()
  let [beaten, named] = [started, started]
  try {
    for (;;) {
      await sleepUnlessAborted(realClock, look, stopped)
      await show(deps, kernel, source, names, options)
      const now = realClock.now()
      if (stopped.aborted || now - started >= (options.duration ?? Number.POSITIVE_INFINITY)) break
      if (now - beaten >= beat) {
        await say(kernel, { at, sample: options.samples })
        beaten = now
      }
      if (now - named >= naming) {
        names = { ...names, ...(await podsOf(deps, socket, kernel)) }
        named = now
      }
    }
  } finally {
    await end(kernel, at)
  }
  tellUntold(deps, options.output, (await countUntold(kernel)) - untold)
}

async function show(deps: CliDeps, kernel: Kernel, source: EventSource, names: Names, options: MonitorOptions): Promise<void> {
  const { events, lost } = source.read()
  if (lost)
    deps.out(options.output === 'json' ? JSON.stringify({ lost: true }) : 'some events were written over before they could be shown')
  await nameFrontends(kernel, events, names.frontends)
  for (const event of events) {
    const row = eventRow(event, names)
    if (isWanted(row, options)) print(deps, options.output, row, r => [eventLine(r)])
  }
}

type Names = EventNames & { readonly frontends: Map<number, string> }

async function namesOf(deps: CliDeps, socket: string, kernel: Kernel): Promise<Names> {
  const boot = realClock.wall() - Number(process.hrtime.bigint() / 1_000_000n)
  return { boot, frontends: new Map(), ...(await podsOf(deps, socket, kernel)) }
}

async function podsOf(deps: CliDeps, socket: string, kernel: Kernel): Promise<Pick<EventNames, 'pods' | 'endpoints'>> {
  const pods = await podNames(deps, socket)
  const rows = endpointRows(await kernel.mapEntries('endpoints'), await kernel.mapEntries('addresses'), new Map(), pods)
  return { pods, endpoints: new Map(rows.flatMap(r => (r.pod === undefined ? [] : [[r.number, r.pod] as const]))) }
}

/** Numbers of frontends are never given twice: each is asked for once. */
async function nameFrontends(kernel: Kernel, events: readonly Event[], known: Map<number, string>): Promise<void> {
  const { key, value } = maps.frontends
  const missing = new Set(events.map(e => e.frontend).filter(number => number !== 0 && !known.has(number)))
  if (missing.size === 0) return
  const entries = [...missing].map(frontend => ({ map: 'frontends', key: key.encode({ frontend }).toString('hex') }) as const)
  for (const entry of (await observeHost(kernel, { links: [], families: [], entries })).entries) {
    const { ip = '', port } = value.decode(Buffer.from(entry.value, 'hex'))
    known.set(key.decode(Buffer.from(entry.key, 'hex')).frontend, withPort(ip, port))
  }
}

/** On all CPUs, since the programs were loaded. */
async function countUntold(kernel: Kernel): Promise<bigint> {
  const { value } = maps.event_rates
  const each = (await kernel.mapEntries('event_rates')).flatMap(e =>
    Array.from(
      { length: e.value.length / value.size },
      (_, i) => value.decode(e.value.subarray(i * value.size, (i + 1) * value.size)).untold,
    ),
  )
  return each.reduce((a, b) => a + b, 0n)
}

function tellUntold(deps: CliDeps, output: Output, untold: bigint): void {
  if (output === 'json') deps.out(JSON.stringify({ untold: Number(untold) }))
  else if (untold > 0n) deps.out(`${untold} more packets, in too quick succession to be told of each`)
}
