// SPDX-License-Identifier: Apache-2.0
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { modeWords, statusLines } from '#cli/datapath-status.ts'
import { type CliDeps, withDaemon } from '#cli/deps.ts'
import { type DatapathKind, type DatapathSwitch, formatSwitch, parseSwitch } from '#config/datapath-switch.ts'
import { countsByName } from '#kernel/bpf/counters.ts'
import { block, dropReasons, path } from '#kernel/bpf/words.ts'
import { observeHost } from '#kernel/host.ts'
import { forwards, modeOf, turnOff } from '#kernel/mode.ts'
import { realClock } from '#lib/clock.ts'
import { AppError, messageOf } from '#lib/errors.ts'

/** Milliseconds that the daemon may take for a switch, and between two looks. */
const patience = 30_000
const look = 200

/** What the node does, from the daemon and, also when that is dead, from the kernel. */
export async function datapathStatus(deps: CliDeps, socket: string): Promise<void> {
  const daemon = await tracedBy(deps, socket).then(
    trace => trace.get('datapath') ?? 'not chosen yet',
    (e: unknown) => `terwayd does not answer: ${messageOf(e)}`,
  )
  const switched = (await textOf(deps.switchPath)).trim().replaceAll('\n', ', ')
  const kernel = await deps.kernel()
  try {
    const [probes, host, mode] = [
      await kernel.probePrograms(),
      await observeHost(kernel, { families: [], links: 'all', hooks: true, blocks: Object.values(block), sockets: true }),
      await modeOf(kernel),
    ]
    const paths = countsByName(await kernel.mapEntries('paths'), path)
    const drops = countsByName(await kernel.mapEntries('drops'), dropReasons)
    for (const line of statusLines({ daemon, switched, probes, host, mode, paths, drops })) deps.out(line)
  } finally {
    await kernel.close()
  }
}

/** Writes what a person wants of this node, and waits until the daemon has done it or said why not. */
export async function datapathSwitch(deps: CliDeps, socket: string, wanted: string): Promise<void> {
  if (wanted !== 'v2' && wanted !== 'veth' && wanted !== 'auto')
    throw new AppError('bad-argument', `switch to v2, veth or auto, not ${wanted}`)
  const { off } = await present(deps)
  await follow(deps, socket, wanted === 'auto' ? { off } : { kind: wanted, off }, wanted === 'auto' || off ? undefined : wanted)
}

/** The host stack carries everything from the next packet on, also while no daemon lives, and nothing else changes; it stays so until `on`. */
export async function datapathOff(deps: CliDeps, socket: string): Promise<void> {
  const said: DatapathSwitch = { ...(await present(deps)), off: true }
  // First the file: a daemon that looks in between must not turn it on again.
  await write(deps, said)
  const kernel = await deps.kernel()
  try {
    await turnOff(kernel)
    deps.out(`mode: ${modeWords(await modeOf(kernel))}`)
    await follow(deps, socket, said)
    // A daemon may have been about to turn it on.
    if (forwards(await modeOf(kernel))) throw new AppError('datapath-not-switched', 'somebody has switched the programs on again')
  } finally {
    await kernel.close()
  }
}

/** Ends `off`: the node is again what the switch, its label or the configuration says. */
export async function datapathOn(deps: CliDeps, socket: string): Promise<void> {
  const said: DatapathSwitch = { ...(await present(deps)), off: false }
  await follow(deps, socket, said, said.kind)
}

async function follow(deps: CliDeps, socket: string, said: DatapathSwitch, expected?: DatapathKind): Promise<void> {
  await write(deps, said)
  const deadline = realClock.now() + patience
  for (;;) {
    const trace = await tracedBy(deps, socket).catch((e: unknown) => messageOf(e))
    if (typeof trace === 'string') return deps.out(`written; terwayd does not answer and takes it when it starts (${trace})`)
    const result = trace.get('datapath') ?? ''
    if (trace.get('datapath_switch') === formatSwitch(said).trim()) {
      deps.out(`datapath: ${result}`)
      if (expected !== undefined && !result.startsWith(`${expected}:`))
        throw new AppError('datapath-not-switched', `the node does not forward by ${expected}`)
      return
    }
    if (realClock.now() > deadline)
      throw new AppError('datapath-not-switched', `terwayd has not followed within ${patience / 1000} s: ${result}`)
    await realClock.sleep(look)
  }
}

async function present({ switchPath }: CliDeps): Promise<DatapathSwitch> {
  return parseSwitch(await textOf(switchPath)) ?? { off: false }
}

async function write({ switchPath }: CliDeps, said: DatapathSwitch): Promise<void> {
  await mkdir(dirname(switchPath), { recursive: true })
  await writeFile(`${switchPath}.new`, formatSwitch(said), { mode: 0o600, flush: true })
  await rename(`${switchPath}.new`, switchPath)
}

/** Empty when there is no such file. */
async function textOf(file: string): Promise<string> {
  return await readFile(file, 'utf8').catch(() => '')
}

async function tracedBy(deps: CliDeps, socket: string): Promise<ReadonlyMap<string, string>> {
  return withDaemon(deps, socket, async daemon => {
    const trace = await daemon.trace({ Type: 'network_service', Name: 'default' })
    return new Map(trace.map(({ Key, Value }) => [Key, Value]))
  })
}
