// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './components.ts'

/** What every file of the repository keeps to, beyond what formatter and linter see. */

const licence = 'SPDX-License-Identifier: Apache-2.0'
/** Programs that the kernel runs may call its helpers only under a licence that goes with its own (docs/adr/0007). */
const kernelLicence = 'SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause'
const mostLines = 500
const mostReadmeLines = 15
const source = /\.(ts|c|h|go|sh)$/
const generated = /\.gen\.(ts|h)$/

/** What is wrong with one file, one line each. `checkout` is the absolute path that no file may name. */
export function problemsOf(path: string, text: string, checkout: string): string[] {
  const lines = text.split('\n').length - 1
  const wanted = path.startsWith('bpf/') || path.endsWith('.bpf.c') ? kernelLicence : licence
  const checks: readonly (readonly [boolean, string])[] = [
    [source.test(path) && !text.split('\n', 2).join('\n').includes(wanted), `say "${wanted}" in the first line`],
    [source.test(path) && !generated.test(path) && lines > mostLines, `${lines} lines: split it by concept (at most ${mostLines})`],
    [/^src\/[^/]+\/README\.md$/.test(path) && lines > mostReadmeLines, `${lines} lines: at most ${mostReadmeLines}`],
    [text.includes(`${checkout}/`), 'names a path of this machine'],
  ]
  return checks.filter(([wrong]) => wrong).map(([, problem]) => `${path}:1: ${problem}`)
}

/** Every file that git tracks, and a README for every folder of src/. */
export function checkRepository(): string[] {
  const tracked = execFileSync('git', ['-c', `safe.directory=${root}`, 'ls-files', '-z'], { cwd: root, encoding: 'utf8' }).split('\0')
  const text = tracked.filter(path => /\.(ts|c|h|go|sh|md|json|yaml|txt|mod)$/.test(path) && existsSync(join(root, path)))
  const folders = new Set(tracked.flatMap(path => /^src\/[^/]+/.exec(path)?.[0] ?? []))
  const unexplained = [...folders].filter(folder => !existsSync(join(root, folder, 'README.md')))
  return [
    ...text.flatMap(path => problemsOf(path, readFileSync(join(root, path), 'utf8'), root)),
    ...unexplained.map(folder => `${folder}/README.md:1: write it: purpose, the one invariant, the file to read first`),
  ]
}

if (import.meta.main) {
  const found = checkRepository()
  for (const line of found) console.error(line)
  process.exit(found.length === 0 ? 0 : 1)
}
