// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Entry } from '../../deploy/image/tar.ts'
import { cpio } from './cpio.ts'
import type { VmKernel } from './kernels.ts'

/** What a machine is made of beside its kernel. */
export interface VmRoot {
  /** Programs of this machine, by path; the libraries they need come along. */
  readonly programs: readonly string[]
  /** Files by their path in the machine. */
  readonly files: Readonly<Record<string, Buffer>>
  /** Modules that lie in /modules under numbers, in the order in which to load them; one that the kernel has built in is left out. */
  readonly modules: readonly string[]
  /** The shell commands that the machine is for; their output is the machine's. */
  readonly script: string
}

/** The first root of a machine that runs the script and ends. */
export function initramfs(kernel: VmKernel, { programs, files, modules, script }: VmRoot): Buffer {
  const loose = modules.flatMap(name => moduleFile(kernel, name)).map((data, i) => file(`/modules/${i}.ko`, data, 0o644))
  return cpio(
    complete([
      ...busybox(),
      ...[...new Set(programs.flatMap(withLibraries))].map(path => file(path, readFileSync(path))),
      ...Object.entries(files).map(([path, data]) => file(path, data)),
      ...loose,
      file('/init', Buffer.from(init(script))),
      ...['/modules', '/proc', '/sys', '/dev', '/tmp', '/run'].map((path): Entry => ({ path, kind: 'directory', mode: 0o755 })),
    ]),
  )
}

const file = (path: string, data: Buffer, mode = 0o755): Entry => ({ path, kind: 'file', mode, data })

/** What the second serial line says before the script does. */
export const begun = 'begin'

/** The second serial line carries what the script says, the first what the kernel says. */
function init(script: string): string {
  return `#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin:/usr/local/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec </dev/null
stty -F /dev/ttyS1 raw -echo
ip link set lo up
echo ${begun} >/dev/ttyS1
( ${script} ) >/dev/ttyS1 2>&1
echo "exit $?" >/dev/ttyS1
poweroff -f
`
}

function busybox(): Entry[] {
  const applets = ['sh', 'mount', 'stty', 'insmod', 'poweroff', 'echo', 'cat', 'mkdir', 'env', 'umount', 'sysctl']
  return [
    file('/bin/busybox', readFileSync('/bin/busybox')),
    ...applets.map((name): Entry => ({ path: `/bin/${name}`, kind: 'link', target: 'busybox' })),
  ]
}

/** A program and the libraries that the dynamic linker would load for it here. */
function withLibraries(program: string): string[] {
  const lines = execFileSync('ldd', [program], { encoding: 'utf8' })
  return [program, ...[...lines.matchAll(/(?:=> |^\s)(\/\S+)/gm)].map(match => match[1] ?? '')]
}

/** The contents of a module, or nothing when it is part of the kernel. */
function moduleFile({ modules }: VmKernel, name: string): Buffer[] {
  const [path] = globSync(`**/${name}.ko*`, { cwd: modules }).map(found => join(modules, found))
  if (path === undefined) return []
  return [path.endsWith('.xz') ? execFileSync('xz', ['-dc', path], { maxBuffer: 1 << 26 }) : readFileSync(path)]
}

/** With every parent directory, before what is in it. */
function complete(entries: readonly Entry[]): Entry[] {
  const byPath = new Map(entries.map(entry => [entry.path, entry]))
  for (const { path } of entries) {
    for (let parent = dirname(path); parent !== '/'; parent = dirname(parent)) {
      if (!byPath.has(parent)) byPath.set(parent, { path: parent, kind: 'directory', mode: 0o755 })
    }
  }
  return [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}
