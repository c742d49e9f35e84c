// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { initramfs, type VmRoot } from './initramfs.ts'
import type { VmKernel } from './kernels.ts'

export interface VmResult {
  /** Of the script; undefined when the machine ended before it. */
  readonly code: number | undefined
  readonly output: string
  /** What the kernel said. */
  readonly console: string
}

const memoryMb = 1024

/** Runs the script of `root` on another kernel, in a machine that is emulated wholly: no hardware support is asked for, and none is used. */
export async function runVm(kernel: VmKernel, root: VmRoot, seconds: number): Promise<VmResult> {
  const directory = mkdtempSync(join(tmpdir(), 'terway-vm-'))
  try {
    const [initrd, output, log] = ['initrd', 'output', 'console'].map(name => join(directory, name)) as [string, string, string]
    writeFileSync(initrd, initramfs(kernel, root))
    const args = [
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-m', String(memoryMb), '-smp', '2'],
      ...['-nodefaults', '-display', 'none', '-no-reboot', '-serial', `file:${log}`, '-serial', `file:${output}`],
      ...['-kernel', kernel.image, '-initrd', initrd, '-append', 'console=ttyS0 panic=-1 quiet mitigations=off'],
    ]
    await finished(args, seconds)
    const text = readFileSync(output, 'utf8')
    const [, code] = /^exit (\d+)$/m.exec(text) ?? []
    return {
      code: code === undefined ? undefined : Number(code),
      output: text.replace(/^exit \d+\n?$/m, ''),
      console: readFileSync(log, 'utf8').replaceAll('\r', ''),
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Ends with the machine; one that takes too long is ended, and shows by what it did not say. */
function finished(args: readonly string[], seconds: number): Promise<void> {
  const child = spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'ignore', 'inherit'] })
  const timer = setTimeout(() => child.kill('SIGKILL'), seconds * 1000)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', code => {
      clearTimeout(timer)
      if (code === 0 || child.signalCode === 'SIGKILL') resolve()
      else reject(new Error(`the emulator ended with ${code}`))
    })
  })
}
