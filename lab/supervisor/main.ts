// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import { joinScript } from '../cgroup.ts'
import { namesOf } from '../names.ts'
import { childOf, identify, type ProcessId, signal, until } from '../process.ts'
import { openLoopback } from './loopback.ts'
import type { ProcessSpec, ProcessStatus } from './spec.ts'

/*
 * The lab's service manager: starts programs, starts them again when they die, and tells their process ids. It holds no
 * other state: `up` and `down` decide what runs. Run as `node main.ts <lab> [port of the API server on loopback]`; it
 * listens on the lab's supervisor socket.
 */
const RESTART_DELAY_MS = 500
const STOP_GRACE_MS = 5_000

interface Unit {
  spec: ProcessSpec
  wanted: boolean
  child?: ChildProcess
  wrapper?: ProcessId
  program?: ProcessId
  restarts: number
}

const names = namesOf(process.argv[2] ?? '')
const units = new Map<string, Unit>()

async function start(spec: ProcessSpec): Promise<ProcessStatus> {
  const old = units.get(spec.name)
  if (old !== undefined) await stop(spec.name)
  const unit: Unit = { spec, wanted: true, restarts: old?.restarts ?? 0 }
  units.set(spec.name, unit)
  await launch(unit)
  return statusOf(unit)
}

async function launch(unit: Unit): Promise<void> {
  const { spec } = unit
  const log = openSync(spec.log, 'a')
  const script = `set -e\n${joinScript(names.cgroup, spec.cgroup)}\nexec "$@"`
  const child = spawn('sh', ['-c', script, 'sh', ...spec.argv], {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, ...spec.env },
  })
  closeSync(log)
  unit.child = child
  child.once('error', e => console.error(`${spec.name}: ${e.message}`))
  child.once('exit', (code, by) => ended(unit, child, by ?? `code ${code}`))
  const wrapper = child.pid === undefined ? undefined : identify(child.pid)
  if (wrapper === undefined) return
  unit.wrapper = wrapper
  unit.program = wrapper
  if (spec.wrapped) {
    const inner = await until(
      `${spec.name} starts`,
      5_000,
      () => child.exitCode !== null || child.signalCode !== null || childOf(wrapper.pid),
      5,
    )
    const program = typeof inner === 'number' ? identify(inner) : undefined
    if (program !== undefined) unit.program = program
  }
  record()
}

function ended(unit: Unit, child: ChildProcess, why: string): void {
  if (unit.child !== child) return
  console.log(`${new Date().toISOString()} ${unit.spec.name} ended: ${why}`)
  delete unit.child
  delete unit.program
  record()
  if (!unit.wanted || !unit.spec.restart) return
  setTimeout(() => {
    if (!unit.wanted || unit.child !== undefined) return
    unit.restarts++
    launch(unit).catch((e: Error) => console.error(`${unit.spec.name}: ${e.message}`))
  }, RESTART_DELAY_MS)
}

/** Ends a program and keeps it down: SIGTERM, then SIGKILL after a grace; `kill` skips the first. */
async function stop(name: string, kill = false): Promise<void> {
  const unit = units.get(name)
  if (unit === undefined) return
  unit.wanted = false
  const { program, wrapper } = unit
  if (program !== undefined) signal(program, kill ? 'SIGKILL' : 'SIGTERM')
  const gone = () => unit.child === undefined
  await until(name, kill ? 1_000 : STOP_GRACE_MS, gone).catch(() => {
    for (const id of [program, wrapper]) if (id !== undefined) signal(id, 'SIGKILL')
    return until(`${name} ends`, STOP_GRACE_MS, gone)
  })
}

function statusOf(unit: Unit): ProcessStatus {
  const { program, restarts, spec } = unit
  const now = program === undefined ? undefined : identify(program.pid)
  const running = now !== undefined && now.started === program?.started
  return { name: spec.name, running, restarts, ...(running ? now : {}) }
}

/** The record lets `down` end everything when this process is gone. */
function record(): void {
  const ids = [...units.values()].flatMap(u => [u.program, u.wrapper].filter(id => id !== undefined))
  const own = identify(process.pid)
  writeFileSync(`${names.processes}.new`, JSON.stringify([...(own === undefined ? [] : [own]), ...ids]))
  renameSync(`${names.processes}.new`, names.processes)
}

async function handle(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const body = chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString())
  switch (request.url) {
    case '/start':
      return start(body as ProcessSpec)
    case '/stop':
      return stop((body as { name: string }).name, (body as { kill?: boolean }).kill)
    case '/forget':
      return units.delete((body as { name: string }).name)
    case '/status':
      return [...units.values()].map(statusOf)
    case '/api-port':
      return apiPort
    default:
      throw new Error(`no such request: ${request.url}`)
  }
}

const server = createServer((request, response) => {
  handle(request).then(
    answer => response.end(JSON.stringify(answer ?? null)),
    (e: Error) => {
      response.statusCode = 500
      response.end(JSON.stringify({ error: e.message }))
    },
  )
})
rmSync(names.supervisorSocket, { force: true })
const apiPort = await openLoopback(names.apiSocket, Number(process.argv[3] ?? 0))
server.listen(names.supervisorSocket, record)
