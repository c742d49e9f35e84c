// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import type { BpfObject } from '#kernel/bpf/object.ts'
import { packetProgramNames, socketProgramNames } from '#kernel/bpf/programs.ts'
import { findCgroupRoot } from '#kernel/cgroup.ts'
import { pass, programsReturning, run, sizes } from './bpf-lab.ts'
import type { Answer, Command, Protocol } from './bpf-sockets-actor.ts'

/** Of maps that are made often. */
export const small = {
  ...sizes,
  services: 1024,
  frontends: 1024,
  backend_sets: 1024,
  backend_slots: 1024,
  backends: 1024,
  node_flows: 1024,
}

/** Those of packets are not met here, and let them pass. */
export function programsAtSockets(all: BpfObject): BpfObject {
  const passing = programsReturning(pass, all.generation).programs.filter(({ name }) => packetProgramNames.some(p => p === name))
  return { ...all, programs: [...passing, ...all.programs.filter(({ name }) => socketProgramNames.some(p => p === name))] }
}

/** A cgroup of its own, below the root: sockets that are made in it meet what is attached to it, no others do. */
export class TestCgroup {
  readonly directory: string

  constructor(name = 'test') {
    this.directory = join(findCgroupRoot(), `terway-${name}-${process.pid}`)
    mkdirSync(this.directory)
  }

  /** Once every process in it is gone. */
  remove(): void {
    if (existsSync(this.directory)) rmdirSync(this.directory)
  }

  get isEmpty(): boolean {
    return readFileSync(join(this.directory, 'cgroup.procs'), 'utf8') === ''
  }
}

export interface Conversation {
  ask(): Promise<Answer>
  close(): Promise<void>
}

/** A process with sockets in a namespace and a cgroup. */
export class Actor {
  readonly #process: ChildProcess
  readonly #waiting = new Map<number, PromiseWithResolvers<Answer | undefined>>()
  #next = 0

  constructor(ns: string, { directory }: TestCgroup) {
    const script = join(import.meta.dirname, 'bpf-sockets-actor.ts')
    const command = ['-c', 'echo $$ > "$0"/cgroup.procs && exec ip netns exec "$@"', directory, ns, process.execPath, script]
    this.#process = spawn('sh', command, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#process.on('message', ({ number, answer, error }: { number: number; answer?: Answer; error?: string }) => {
      const waiting = this.#waiting.get(number)
      this.#waiting.delete(number)
      if (error === undefined) waiting?.resolve(answer)
      else waiting?.reject(new Error(error))
    })
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  async serve(name: string, host: string, port: number): Promise<void> {
    await this.#tell({ do: 'serve', name, host, port })
  }

  async open(protocol: Protocol, host: string, port: number): Promise<Conversation> {
    const id = this.#next
    await this.#tell({ do: 'open', id, protocol, host, port })
    return {
      ask: async () => {
        const answer = await this.#tell({ do: 'ask', id })
        if (answer === undefined) throw new Error('no answer')
        return answer
      },
      close: async () => {
        await this.#tell({ do: 'close', id })
      },
    }
  }

  /** One question by a socket of its own. */
  async ask(protocol: Protocol, host: string, port: number): Promise<Answer> {
    const conversation = await this.open(protocol, host, port)
    try {
      return await conversation.ask()
    } finally {
      await conversation.close()
    }
  }

  async close(): Promise<void> {
    const gone = new Promise(resolve => this.#process.once('exit', resolve))
    this.#process.kill('SIGKILL')
    await gone
  }

  #tell(command: Command): Promise<Answer | undefined> {
    const number = this.#next++
    const waiting = Promise.withResolvers<Answer | undefined>()
    this.#waiting.set(number, waiting)
    this.#process.send({ number, command })
    return waiting.promise
  }
}

/** A namespace whose loopback is up; the caller deletes it. */
export function addNamespace(name: string): void {
  run('ip', 'netns', 'add', name)
  run('ip', '-n', name, 'link', 'set', 'lo', 'up')
}
