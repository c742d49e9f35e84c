// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { BpfObject } from '../../src/kernel/bpf/object.ts'
import { programNames } from '../../src/kernel/bpf/programs.ts'
import { cacheDir } from '../bin.ts'
import { root } from '../components.ts'
import { place } from '../debian.ts'
import { type Clang, findClang, triplet } from './clang.ts'
import { flatten } from './flat.ts'

/** The name of the object's file in dist/ and beside the bundles in the image. */
export const objectFile = 'terway-bpf.json'

/** Version 3 of the instruction set is the newest that kernel 5.10 has. */
const flags = ['-target', 'bpfel', '-mcpu=v3', '-O2', '-g', '-Wall', '-Wextra', '-Werror', `-I/usr/include/${triplet}`]

/** The object that is compiled from bpf/*.bpf.c, from the cache when neither sources nor tools have changed. */
export function bpfObject(): BpfObject {
  const clang = findClang()
  const sources = globSync('bpf/*.bpf.c', { cwd: root }).sort()
  const directory = join(cacheDir(), 'bpf', keyOf(clang))
  place(directory, staging => {
    const objects = sources.map(source => compile(clang, join(root, source), join(staging, `${basename(source, '.c')}.o`)))
    const object = flatten(objects)
    const missing = programNames.filter(name => !object.programs.some(program => program.name === name))
    if (missing.length > 0) throw new Error(`bpf/ has no ${missing.join(', ')}`)
    writeFileSync(join(staging, objectFile), `${JSON.stringify(object)}\n`)
  })
  return JSON.parse(readFileSync(join(directory, objectFile), 'utf8'))
}

/** Compiles one file into another, and returns what it wrote. Warnings are errors. */
export function compile({ program, env }: Clang, source: string, target: string): Buffer {
  execFileSync(program, [...flags, '-c', source, '-o', target], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  return readFileSync(target)
}

/** Everything that decides what comes out: C, generated or not, the code here, what it takes of the contract, compiler and kernel headers. */
function keyOf({ version }: Clang): string {
  const hash = createHash('sha256').update(JSON.stringify([version, flags]))
  const files = [...globSync('bpf/**/*.[ch]', { cwd: root }), ...globSync(['tools/bpf/*.ts', 'src/kernel/bpf/*.ts'], { cwd: root })]
  for (const file of files.filter(f => !f.endsWith('.test.ts')).sort()) hash.update(`\n${file}\n`).update(readFileSync(join(root, file)))
  return hash.update(readFileSync('/usr/include/linux/version.h')).digest('hex').slice(0, 16)
}
