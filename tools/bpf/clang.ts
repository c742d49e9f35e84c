// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { unpacked } from '../debian.ts'
import { which } from '../setup/find.ts'

export interface Clang {
  /** What to run, and with which environment. */
  readonly program: string
  readonly env: NodeJS.ProcessEnv
  readonly version: string
}

/** The compiler and the libraries that a bare Debian 12 has not, all beside the system. */
const packages = [
  ...['clang-16', 'libclang-common-16-dev', 'libclang-cpp16', 'libllvm16'],
  ...['libbsd0', 'libedit2', 'libffi8', 'libicu72', 'liblzma5', 'libmd0', 'libtinfo6', 'libxml2', 'libz3-4', 'libzstd1', 'zlib1g'],
]

/** The architecture as Debian names directories after it. */
export const triplet = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu'

/** clang-16 of the machine, else from Debian's packages in the cache (45 MB to download, once). */
export function findClang(): Clang {
  const own = which('clang-16')
  if (own !== null) return describe(own, process.env)
  const root = unpacked(packages)
  const directories = [`usr/lib/${triplet}`, `lib/${triplet}`, 'usr/lib/llvm-16/lib'].map(d => join(root, d))
  return describe(join(root, 'usr/lib/llvm-16/bin/clang'), { ...process.env, LD_LIBRARY_PATH: directories.join(':') })
}

function describe(program: string, env: NodeJS.ProcessEnv): Clang {
  return { program, env, version: execFileSync(program, ['--version'], { env, encoding: 'utf8' }).split('\n', 1).join() }
}
