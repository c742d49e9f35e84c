// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { createWriteStream, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDir } from '../bin.ts'

export const say = (text: string) => console.log(`setup: ${text}`)

const tailLines = 30
const heartbeatMs = 15_000

export interface StepOptions {
  cwd?: string
  env?: NodeJS.ProcessEnv
  /** Turns the output lines so far into a word of progress, such as "812 packages compiled". */
  progress?: (lines: readonly string[]) => string
}

/**
 * Runs a long command: its output goes to setup.log in the cache, a line every 15 s says that it is alive.
 * @throws Error with the end of the output when the command fails.
 */
export async function step(what: string, command: string, args: readonly string[], options: StepOptions = {}): Promise<void> {
  mkdirSync(cacheDir(), { recursive: true })
  const log = createWriteStream(join(cacheDir(), 'setup.log'), { flags: 'a' })
  const started = performance.now()
  const seconds = () => `${Math.round((performance.now() - started) / 1000)} s`
  const lines: string[] = []
  say(what)
  const child = spawn(command, args, { cwd: options.cwd, env: { ...process.env, ...options.env }, stdio: ['ignore', 'pipe', 'pipe'] })
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      log.write(text)
      lines.push(...text.split('\n').filter(line => line !== ''))
    })
  }
  const ticker = setInterval(() => say(`... ${options.progress?.(lines) ?? 'still at it'}, ${seconds()}`), heartbeatMs)
  try {
    const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
    if (code !== 0) throw new Error(`${[command, ...args].join(' ')} failed:\n${lines.slice(-tailLines).join('\n')}`)
  } finally {
    clearInterval(ticker)
    log.end()
  }
  say(`done in ${seconds()}`)
}
