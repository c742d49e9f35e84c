// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../components.ts'
import type { Result } from './result.ts'

const reporter = join(import.meta.dirname, 'reporter.ts')
const tailLines = 40
const graceMs = 5_000
const running = new Set<ChildProcess>()

/** Ends all that is running, when the run itself is told to end. A group per child: what a test has started ends with it. */
export function stopAll(): void {
  for (const child of running) signal(child, 'SIGTERM')
}

function signal(child: ChildProcess, name: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, name)
  } catch {
    // It has ended by itself.
  }
}

interface Ended {
  code: number | null
  timedOut: boolean
  output: string
}

/** Runs a command to its end, at most `seconds`; its output, both streams in one, is cut to the last lines. */
export async function runToEnd(argv: readonly string[], seconds: number): Promise<Ended> {
  const [command = '', ...args] = argv
  // Set when a test of this runner runs it: the inner process would report to the outer one.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const child = spawn(command, args, { cwd: root, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      lines.push(...text.split('\n').filter(line => line !== ''))
      lines.splice(0, lines.length - tailLines)
    })
  }
  let timedOut = false
  let killer: NodeJS.Timeout | undefined
  const timer = setTimeout(() => {
    timedOut = true
    signal(child, 'SIGTERM')
    killer = setTimeout(() => signal(child, 'SIGKILL'), graceMs)
  }, seconds * 1000)
  try {
    const closed = new Promise(resolve => child.on('close', resolve))
    const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('exit', resolve))
    // Children that it left behind would hold the pipes open: they end with it, and then all output is here.
    signal(child, 'SIGKILL')
    await closed
    return { code, timedOut, output: lines.join('\n') }
  } finally {
    clearTimeout(timer)
    clearTimeout(killer)
    running.delete(child)
  }
}

/** Runs one test file in a process of its own. What is wrong with the file as a whole is a failure that bears its path. */
export async function runFile(path: string, seconds: number): Promise<Result[]> {
  const directory = mkdtempSync(join(tmpdir(), 'terway-test-'))
  const report = join(directory, 'report.jsonl')
  const argv = [process.execPath, `--test-reporter=${reporter}`, `--test-reporter-destination=${report}`, path]
  try {
    const ended = await runToEnd(argv, seconds)
    return verdict(path, existsSync(report) ? readFileSync(report, 'utf8') : '', ended, seconds)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** The reported results, and one more failure when the process says otherwise: it crashed, hung, or had no test. */
export function verdict(path: string, report: string, { code, timedOut, output }: Ended, seconds: number): Result[] {
  const results: Result[] = report
    .split('\n')
    .filter(line => line.endsWith('}'))
    .map(line => JSON.parse(line))
  const asFailure = (text: string): Result[] => [...results, { outcome: 'failed', name: path, place: `${path}:1`, text }]
  if (timedOut)
    return asFailure(`not at its end after ${seconds} s: a test hangs, or something it left open keeps the process alive\n${output}`)
  if (code !== 0 && !results.some(({ outcome }) => outcome === 'failed')) return asFailure(`the process ended with ${code}\n${output}`)
  return results.length === 0 ? asFailure('no test in this file') : results
}
