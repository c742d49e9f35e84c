// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { instruction, set } from '#kernel/bpf/instruction.ts'
import type { BpfObject, BpfProgram, ProgramName } from '#kernel/bpf/object.ts'
import { packetProgramNames, socketProgramNames } from '#kernel/bpf/programs.ts'
import { type KernelOptions, makeKernel } from '#kernel/kernel.ts'
import { type IfName, parseIfName } from '#kernel/names.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { Kernel } from '#kernel/port.ts'
import type { NsQuery, NsState } from '#kernel/state.ts'
import { mountBpf, unmountBpf } from '../support/bpf-fs.ts'

/** TC_ACT_UNSPEC and TC_ACT_SHOT. */
export const [pass, drop] = [-1, 2]
/** Maps small enough to be made often. */
export const sizes = { flows: 1024, new_flows: 1024, host_notes: 1024, fragments: 1024 }

/** An object whose programs all name the map `control`, and those of packets return this. */
export function programsReturning(verdict: number, generation: string): BpfObject {
  return objectOf([...loadMap(1), set(0, verdict), instruction(0x95)], generation)
}

/** The first two instructions must take a map. Programs at sockets let every call go on. */
export function objectOf(code: readonly Buffer[], generation: string): BpfObject {
  const program = (name: ProgramName, instructions: readonly Buffer[]): BpfProgram => ({
    name,
    instructions: Buffer.concat(instructions).toString('base64'),
    relocations: [{ at: 0, map: 'control', offset: 0 }],
  })
  const goOn = [...loadMap(1), set(0, 1), instruction(0x95)]
  const programs = [...packetProgramNames.map(name => program(name, code)), ...socketProgramNames.map(name => program(name, goOn))]
  return { programs, rodata: { bytes: '', variables: {} }, generation }
}

/** r`register` = a map, once the loader has filled it in. */
export function loadMap(register: number): readonly Buffer[] {
  return [instruction(0x18, register), instruction(0)]
}

/**
 * A namespace that plays the host (d0 to d3, with peers p0 to p3 in a namespace behind) and a BPF file system of its own. 192.0.2.1 and .2 are at
 * both ends of the first.
 */
export class BpfLab {
  readonly host = `tbpf${process.pid}-host`
  readonly peer = `tbpf${process.pid}-peer`
  readonly directory = mkdtempSync(join(tmpdir(), 'terway-bpf-'))
  readonly pins = join(this.directory, 'fs', 'terway')
  readonly objectFile = join(this.directory, 'programs.json')
  readonly devices: readonly IfName[] = [0, 1, 2, 3].map(n => parseIfName(`d${n}`))
  readonly #kernels: Kernel[] = []

  constructor() {
    try {
      this.#make()
    } catch (e) {
      this.#remove()
      throw e
    }
  }

  async close(): Promise<void> {
    for (const kernel of this.#kernels) await kernel.close()
    this.#remove()
  }

  #make(): void {
    mountBpf(join(this.directory, 'fs'))
    for (const ns of [this.host, this.peer]) {
      run('ip', 'netns', 'add', ns)
      this.ip(ns, 'link set lo up')
    }
    for (const n of [0, 1, 2, 3]) {
      this.ip(this.host, `link add d${n} type veth peer name p${n} netns ${this.peer}`)
      this.ip(this.host, `link set d${n} up`)
      this.ip(this.peer, `link set p${n} up`)
    }
    this.ip(this.host, 'addr add 192.0.2.1/24 dev d0')
    this.ip(this.peer, 'addr add 192.0.2.2/24 dev p0')
    this.use(programsReturning(pass, 'aaaaaaaaaaaa'))
  }

  /** Also what is there of a lab that could not be made. */
  #remove(): void {
    for (const ns of [this.host, this.peer]) if (existsSync(`/run/netns/${ns}`)) run('ip', 'netns', 'del', ns)
    unmountBpf(join(this.directory, 'fs'))
    rmSync(this.directory, { recursive: true })
  }

  /** What the next load loads. */
  use(object: BpfObject): void {
    writeFileSync(this.objectFile, JSON.stringify(object))
  }

  async kernel(more: Partial<KernelOptions> = {}): Promise<Kernel> {
    const kernel = await makeKernel({ hostNetns: `/run/netns/${this.host}`, pins: this.pins, object: this.objectFile, ...more })
    this.#kernels.push(kernel)
    return kernel
  }

  ip(ns: string, command: string): void {
    run('ip', '-n', ns, ...command.split(' '))
  }

  tc(...command: readonly string[]): string {
    return run('ip', 'netns', 'exec', this.host, 'tc', ...command)
  }

  pinned(): string[] {
    return readdirSync(join(this.directory, 'fs'), { recursive: true, encoding: 'utf8' }).filter(p =>
      /terway.*(maps|programs|links)\/./.test(p),
    )
  }
}

export function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

export async function applied(kernel: Kernel, ops: readonly KernelOp[]): Promise<void> {
  const { failed } = await kernel.apply(ops)
  if (failed !== undefined) throw failed
}

/** Why the only operation was refused. */
export async function refusedBy(kernel: Kernel, op: KernelOp): Promise<string> {
  return (await kernel.apply([op])).failed?.message ?? 'not refused'
}

export async function look(kernel: Kernel, query: Partial<NsQuery>): Promise<NsState> {
  const [state] = await kernel.observe([{ ns: 'host', links: [], families: [4], ...query }])
  if (state === undefined) throw new Error('no host')
  return state
}

/** Does the work twice and says what the second time cost: descriptors, MB of resident memory, ms. The first time warms up. */
export async function costOf(work: () => Promise<void>): Promise<{ readonly fds: number; readonly mb: number; readonly ms: number }> {
  await work()
  const [before, begun] = [resources(), performance.now()]
  await work()
  const now = resources()
  return { fds: now.fds - before.fds, mb: now.mb - before.mb, ms: performance.now() - begun }
}

function resources(): { readonly fds: number; readonly mb: number } {
  const rss = /VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
  return { fds: readdirSync('/proc/self/fd').length, mb: Number(rss) / 1024 }
}
