// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { begun, initramfs, type VmRoot } from './initramfs.ts'
import type { VmKernel } from './kernels.ts'

export interface VmResult {
  /** Of the script; undefined when the machine ended before it. */
  readonly code: number | undefined
  readonly output: string
  /** What the kernel said. */
  readonly console: string
  /** How often it was started. */
  readonly boots: number
}

const memoryMb = 1024

/**
 * Now and then a kernel panics while it comes up, since the emulator runs two CPUs at once and is not sound in all that they do. That says nothing
 * of what the machine is for: it is started again.
 */
const mostBoots = 3

/** Runs the script of `root` on another kernel, in a machine that is emulated wholly: no hardware support is asked for, and none is used. */
export async function runVm(kernel: VmKernel, root: VmRoot, seconds: number): Promise<VmResult> {
  const directory = mkdtempSync(join(tmpdir(), 'terway-vm-'))
  try {
    writeFileSync(join(directory, 'initrd'), initramfs(kernel, root))
    const deadline = performance.now() + seconds * 1000
    for (let boots = 1; ; boots++) {
      const result = await boot(kernel, directory, deadline)
      if (result.output.startsWith(begun) || boots === mostBoots || performance.now() > deadline)
        return { ...result, output: result.output.slice(begun.length + 1), boots }
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

async function boot(kernel: VmKernel, directory: string, deadline: number): Promise<Omit<VmResult, 'boots'>> {
  const [initrd, output, log] = ['initrd', 'output', 'console'].map(name => join(directory, name)) as [string, string, string]
  const read = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8').replaceAll('\r', '') : '')
  const args = [
    ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-m', String(memoryMb), '-smp', '2'],
    ...['-nodefaults', '-display', 'none', '-no-reboot', '-serial', `file:${log}`, '-serial', `file:${output}`],
    ...['-kernel', kernel.image, '-initrd', initrd, '-append', 'console=ttyS0 panic=-1 quiet mitigations=off'],
  ]
  await finished(args, deadline - performance.now()).catch(e => {
    throw new Error(`${e.message}; its kernel said:\n${read(log)}`)
  })
  const text = read(output)
  const [, code] = /^exit (\d+)$/m.exec(text) ?? []
  return { code: code === undefined ? undefined : Number(code), output: text.replace(/^exit \d+\n?$/m, ''), console: read(log) }
}

/** Ends with the machine; one that takes too long is ended, and shows by what it did not say. */
function finished(args: readonly string[], ms: number): Promise<void> {
  const child = spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'ignore', 'inherit'] })
  const timer = setTimeout(() => child.kill('SIGKILL'), ms)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', code => {
      clearTimeout(timer)
      if (code === 0 || child.signalCode === 'SIGKILL') resolve()
      else reject(new Error(`the emulator ended with ${code}`))
    })
  })
}
