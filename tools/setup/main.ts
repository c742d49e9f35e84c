// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { delimiter, join, relative } from 'node:path'
import { binPath, cacheDir } from '../bin.ts'
import { type Component, components, keyOf } from '../components.ts'
import { build } from './build.ts'
import { download, releaseOf } from './download.ts'
import { defect, linkFrom, linkFromPath } from './find.ts'
import { say } from './step.ts'
import { complete, grpcVenv, makeVenv } from './venv.ts'

/** Finds or builds every component, once per machine and version. Two at a time wait for each other; the second finds everything there. */

const placeOf = (component: Component) => join(cacheDir(), 'components', `${component.name}-${component.version}-${keyOf(component)}`)

/** All there? A link into TERWAY_BIN_DIR or PATH may have gone dangling since; existsSync follows it. */
const linked = () => components.every(component => component.programs.every(program => existsSync(join(binPath(), program))))
const ready = () => linked() && complete(grpcVenv.path())

/** A directory that appears whole or not at all: filled under another name, then renamed. */
async function place(path: string, fill: (staging: string) => void | Promise<void>): Promise<void> {
  mkdirSync(join(path, '..'), { recursive: true })
  const staging = mkdtempSync(`${path}.`)
  try {
    await fill(staging)
    rmSync(path, { recursive: true, force: true })
    renameSync(staging, path)
  } catch (e) {
    rmSync(staging, { recursive: true, force: true })
    throw e
  }
}

/** PATH without our own cache (tools/env.sh puts it there), which would hand on programs of an older recipe for ever. */
const foreignPath = () =>
  (process.env.PATH ?? '')
    .split(delimiter)
    .filter(directory => !directory.startsWith(cacheDir()))
    .join(delimiter)

/** Tries the sources from the cheapest to the dearest; each answers null, or why it is no use. */
async function obtain(component: Component, staging: string): Promise<void> {
  const directory = process.env.TERWAY_BIN_DIR
  const sources: readonly (readonly [string, () => string | null | Promise<string | null>])[] = [
    ['TERWAY_BIN_DIR', () => (directory ? linkFrom(component, directory, staging) : 'not set')],
    ['PATH', () => linkFromPath(component, staging, foreignPath())],
    ['release download', () => (process.env.TERWAY_OFFLINE ? 'TERWAY_OFFLINE is set' : download(releaseOf(component), staging))],
    ['build', () => build(component, staging).then(() => null)],
  ]
  for (const [name, source] of sources) {
    const problem = (await source()) ?? defect(component, staging)
    if (problem === null) return say(`${component.name} ${component.version}: from ${name}`)
    say(`${component.name} ${component.version}: not from ${name}: ${problem}`)
    for (const program of component.programs) rmSync(join(staging, program), { force: true })
  }
  throw new Error(`${component.name} ${component.version} could not be obtained`)
}

const usable = (component: Component) => component.programs.every(program => existsSync(join(placeOf(component), program)))

async function setUp(): Promise<void> {
  if (!linked()) await setUpComponents()
  // Only tests miss it, and they say so.
  await makeVenv(grpcVenv.path(), grpcVenv.packages).catch((e: unknown) => say(`no gRPC for Python: ${e}`))
}

async function setUpComponents(): Promise<void> {
  for (const component of components.filter(candidate => !usable(candidate)))
    await place(placeOf(component), staging => obtain(component, staging))
  await place(binPath(), staging => {
    for (const component of components) {
      const from = relative(binPath(), placeOf(component))
      for (const program of component.programs) symlinkSync(join(from, program), join(staging, program))
    }
  })
  say(`Kubernetes, containerd and helm are in ${binPath()}`)
}

function underLock(): never {
  mkdirSync(cacheDir(), { recursive: true })
  const again = (...flags: string[]) =>
    spawnSync('flock', [...flags, join(cacheDir(), 'setup.lock'), process.execPath, import.meta.filename, '--locked'], { stdio: 'inherit' })
      .status
  const busy = 75
  let status = again('--nonblock', '--conflict-exit-code', String(busy))
  if (status === busy) {
    say('another setup is at work: waiting for it')
    status = again()
  }
  process.exit(status ?? 1)
}

if (import.meta.main && !ready()) {
  if (!process.argv.includes('--locked')) underLock()
  await setUp().catch((e: unknown) => {
    console.error(`setup: ${e instanceof Error ? e.message : e}`)
    process.exit(1)
  })
}
