// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../components.ts'

interface LockedPackage {
  version?: string
  integrity?: string
  optional?: boolean
}
export type Lock = Record<string, LockedPackage>

/**
 * What package-lock.json asks for and node_modules does not hold, by path. `installed` is npm's own record of what it put there.
 * An optional package that is absent is one of another platform.
 */
export function missing(wanted: Lock, installed: Lock): string[] {
  return Object.entries(wanted).flatMap(([path, want]) => {
    if (path === '') return []
    const have = installed[path]
    if (have === undefined) return want.optional ? [] : [path]
    return have.version === want.version && have.integrity === want.integrity ? [] : [path]
  })
}

const read = (file: string): Lock => JSON.parse(readFileSync(join(root, file), 'utf8')).packages

/** Exit code 0: node_modules is what the lockfile says. */
if (import.meta.main) process.exit(missing(read('package-lock.json'), read('node_modules/.package-lock.json')).length === 0 ? 0 : 1)
