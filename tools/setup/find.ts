// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process'
import { accessSync, constants, statSync, symlinkSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import type { Component } from '../components.ts'

/** What is wrong with the programs of a component in `directory`: the first that is absent or of another version, or null. */
export function defect(component: Component, directory: string): string | null {
  for (const { program, args, expect } of component.probes) {
    const path = join(directory, program)
    if (!executable(path)) return `no ${program}`
    const { stdout, stderr } = spawnSync(path, args, { encoding: 'utf8', timeout: 20_000 })
    if (!containsVersion(`${stdout}${stderr}`, expect)) return `${program} is not ${expect}`
  }
  return null
}

/** Whether `text` names the version and not one that merely starts like it (v1.34.4 is not v1.34.40). */
export function containsVersion(text: string, expect: string): boolean {
  const at = text.indexOf(expect)
  return at >= 0 && !/^\d/.test(text.slice(at + expect.length))
}

/** Links the programs of one directory into `staging` when all are there in the exact version; else says what is wrong. */
export function linkFrom(component: Component, directory: string, staging: string): string | null {
  const from = resolve(directory)
  const wrong = defect(component, from)
  if (wrong === null) for (const program of component.programs) symlinkSync(join(from, program), join(staging, program))
  return wrong
}

/** The same for programs anywhere in PATH. */
export function linkFromPath(component: Component, staging: string, path = process.env.PATH ?? ''): string | null {
  const found = component.programs.map(program => ({ program, at: which(program, path) }))
  const absent = found.find(({ at }) => at === null)
  if (absent !== undefined) return `no ${absent.program}`
  for (const { program, at } of found) if (at !== null) symlinkSync(at, join(staging, program))
  return defect(component, staging)
}

export function which(program: string, path = process.env.PATH ?? ''): string | null {
  const directory = path.split(delimiter).find(candidate => candidate !== '' && executable(join(candidate, program)))
  return directory === undefined ? null : resolve(directory, program)
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
