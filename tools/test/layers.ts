// SPDX-License-Identifier: Apache-2.0
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../components.ts'

/** A layer is either one command that counts as one test, or the test files of a place. */
export type Layer =
  | { kind: 'command'; name: string; argv: readonly string[] }
  | { kind: 'files'; name: string; files: readonly string[]; needsRoot: boolean; parallel: number; fileSeconds: number }

const commands: readonly Layer[] = [
  { kind: 'command', name: 'types', argv: ['node_modules/.bin/tsc', '--noEmit', '--pretty', 'false', '-p', '.'] },
  { kind: 'command', name: 'lint', argv: ['node_modules/.bin/biome', 'check', '--error-on-warnings', '.'] },
  { kind: 'command', name: 'imports', argv: [process.execPath, 'tools/check-imports.ts'] },
  { kind: 'command', name: 'files', argv: [process.execPath, 'tools/check-files.ts'] },
]

/** What differs from the defaults below. The order is that of a run: what fails fast and often comes first. */
const traits: Readonly<Record<string, { needsRoot?: boolean; parallel?: number; fileSeconds?: number }>> = {
  unit: {},
  scenario: {},
  packet: { needsRoot: true },
  kernel: { needsRoot: true, fileSeconds: 1800 },
  simulation: { fileSeconds: 1800 },
  conformance: { fileSeconds: 900 },
  matrix: { fileSeconds: 1800, parallel: 1 },
  cluster: { needsRoot: true, parallel: 1, fileSeconds: 1800 },
}
/** A file's time is several times what it takes on a slow and busy machine: only one that hangs uses it up. */
const defaults = { needsRoot: false, parallel: 2, fileSeconds: 600 }

const unitTests = ['src', 'sim', 'tools', 'lab', 'deploy', 'bench', 'test/support'].map(top => `${top}/**/*.test.ts`)
const noLayer = 'support'

/** All layers in the order they run. A folder of test/ with test files is a layer; an unknown one gets the defaults and runs before the cluster. */
export function discover(): Layer[] {
  const found = globSync('test/*/**/*.test.ts', { cwd: root }).map(path => path.split('/')[1] ?? noLayer)
  const known = Object.keys(traits)
  const others = [...new Set(found)].filter(name => !known.includes(name) && name !== noLayer).sort()
  const names = [...known.slice(0, -1), ...others, ...known.slice(-1)]
  return [...commands, ...names.map(filesOf)]
}

function filesOf(name: string): Layer {
  const patterns = name === 'unit' ? unitTests : [`test/${name}/**/*.test.ts`]
  return { kind: 'files', name, files: globSync(patterns, { cwd: root }).sort(), ...defaults, ...traits[name] }
}

/** A single file of another layer says so in its first lines: `// needs: root`. */
export function needsRoot(path: string): boolean {
  return /^\/\/ needs: root$/m.test(readFileSync(join(root, path), 'utf8').slice(0, 400))
}
