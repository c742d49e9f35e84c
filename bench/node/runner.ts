// SPDX-License-Identifier: Apache-2.0
import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { root } from '../../tools/components.ts'

export interface Job {
  readonly program: string
  readonly env: Readonly<Record<string, string>>
  readonly stdin: string
  /** After all jobs of a call: a ping from this namespace to this address, not part of the measured time. */
  readonly ping?: { readonly netns: string; readonly address: string }
}

export interface Measured {
  readonly exit: number
  /** From the start of this process to its exit. */
  readonly us: number
  /** From the start of the first process of the call to the exit of this one. */
  readonly sinceStartUs: number
  /** CPU time of this process and of those it waited for. */
  readonly cpuUs: number
  /** -1: no answer. */
  readonly pingUs?: number
  readonly output?: string
}

/** build/bench/<name> from bench/<name>.c, or that of tests, compiled when it is older than its source. */
export function compiled(name: 'runner' | 'heartbeat' | 'datapath/pingpong' | 'syn-flood'): string {
  const directory = name === 'syn-flood' ? 'test/kernel' : 'bench'
  const [source, program] = [join(root, directory, `${name}.c`), join(root, 'build', 'bench', name)]
  if (existsSync(program) && statSync(program).mtimeMs > statSync(source).mtimeMs) return program
  mkdirSync(join(program, '..'), { recursive: true })
  const flags = ['-O2', '-static', '-s', '-Wall', '-Wextra', '-Werror', '-std=gnu11', '-D_GNU_SOURCE=']
  execFileSync('musl-gcc', [...flags, '-o', program, source])
  return program
}

/** Line by line: one question, its answers. The process ends with ours. */
export class LineProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #lines: string[] = []
  #wake: (() => void) | undefined
  #ended = false

  constructor(argv: readonly string[]) {
    const [program = '', ...args] = argv
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    createInterface({ input: this.#child.stdout }).on('line', line => {
      this.#lines.push(line)
      this.#wake?.()
    })
    this.#child.once('close', () => {
      this.#ended = true
      this.#wake?.()
    })
  }

  say(text: string): void {
    this.#child.stdin.write(text)
  }

  /** The next `count` lines. Throws when the process ends before. */
  async hear(count: number): Promise<string[]> {
    while (this.#lines.length < count) {
      if (this.#ended) throw new Error(`${this.#child.spawnfile} ended: what it said last is above`)
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    return this.#lines.splice(0, count)
  }

  close(): void {
    this.#child.stdin.end()
  }
}

/** bench/runner.c in one network namespace: what it executes sees that namespace as the host. */
export class Runner {
  readonly #process: LineProcess

  constructor(netns?: string) {
    const enter = netns === undefined ? [] : ['nsenter', `--net=${netns}`]
    this.#process = new LineProcess([...enter, compiled('runner')])
  }

  async makeNetns(path: string): Promise<void> {
    this.#process.say(`netns\t${path}\n`)
    await this.#process.hear(1)
  }

  /** A daemon that answers every request at once, on a unix socket. */
  async answerOn(socket: string): Promise<void> {
    this.#process.say(`answer\t${socket}\n`)
    await this.#process.hear(1)
  }

  /** All jobs at once. Throws when one fails or a ping gets no answer. */
  async run(jobs: readonly Job[]): Promise<readonly Measured[]> {
    const lines = jobs.map(({ program, env, stdin, ping }) =>
      [program, ping?.netns ?? '-', ping?.address ?? '-', stdin, ...Object.entries(env).map(([k, v]) => `${k}=${v}`)].join('\t'),
    )
    this.#process.say(`run\t${jobs.length}\n${lines.join('\n')}\n`)
    const measured = (await this.#process.hear(jobs.length)).map(line => JSON.parse(line) as Measured)
    for (const [i, m] of measured.entries()) {
      if (m.exit !== 0) throw new Error(`${jobs[i]?.program} ${jobs[i]?.env.CNI_COMMAND}: exit ${m.exit}: ${m.output}`)
      if (m.pingUs === -1) throw new Error(`${jobs[i]?.program}: no answer to a ping from ${jobs[i]?.ping?.netns}`)
    }
    return measured
  }

  async one(job: Job): Promise<Measured> {
    const [measured] = await this.run([job])
    if (measured === undefined) throw new Error('no answer')
    return measured
  }
}
