// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDir } from '../../tools/bin.ts'
import { bundle } from '../../tools/bundle.ts'
import { root } from '../../tools/components.ts'
import { ociArchive } from './archive.ts'
import { debianRoot } from './debian.ts'
import { allImages, type ImageSpec, type Layer } from './list.ts'
import type { Entry } from './tar.ts'

export interface BuiltImage {
  /** As pods name it, such as "terway:0.1.0". */
  ref: string
  /** An archive for `ctr -n k8s.io images import`. It stays unchanged under this path. */
  path: string
}

/**
 * Builds what the images are made of and the images themselves, all of them or those given. Takes about 2 s when nothing has changed.
 * The archives are kept in the cache under a name that says what is in them.
 */
export async function images(specs: readonly ImageSpec[] = allImages): Promise<BuiltImage[]> {
  await compile(specs)
  return specs.map(spec => ({ ref: spec.ref, path: archiveOf(spec) }))
}

/** What the images take from the checkout: static C programs in build/, and bundles in dist/ when one of them has any. */
async function compile(specs: readonly ImageSpec[]): Promise<void> {
  execFileSync('make', ['-s', 'compile'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
  const sources = specs.flatMap(spec => spec.layers).flatMap(layer => (layer.kind === 'files' ? Object.values(layer.files) : []))
  if (sources.some(source => source.startsWith('dist/'))) await bundle()
}

function archiveOf(spec: ImageSpec): string {
  const layers = spec.layers.map(entriesOf)
  const name = spec.ref.replaceAll(/[^a-z0-9.]+/g, '-')
  const path = join(cacheDir(), 'images', `${name}-${digestOf(spec, layers)}.tar`)
  if (existsSync(path)) return path
  mkdirSync(join(path, '..'), { recursive: true })
  const staging = `${path}.${process.pid}`
  writeFileSync(staging, ociArchive(spec, layers))
  renameSync(staging, path)
  forget(name)
  return path
}

/** A short hash of what is in the image and of the code that writes it. */
function digestOf(spec: ImageSpec, layers: readonly (readonly Entry[])[]): string {
  const hash = createHash('sha256').update(JSON.stringify(spec))
  for (const file of ['archive.ts', 'tar.ts']) hash.update(readFileSync(join(import.meta.dirname, file)))
  for (const entry of layers.flat()) {
    const { data, ...rest } = { data: undefined, ...entry }
    hash.update(JSON.stringify(rest)).update(data ?? '')
  }
  return hash.digest('hex').slice(0, 16)
}

const kept = 3
const quietMs = 24 * 3600 * 1000

/** Every change of the sources makes another archive of 160 MB: those older than a day go, except the last few. */
function forget(name: string): void {
  const archives = globSync(join(cacheDir(), 'images', `${name}-*.tar`)).map(path => ({ path, made: statSync(path).mtimeMs }))
  const old = archives.sort((a, b) => b.made - a.made).slice(kept)
  for (const { path, made } of old) if (Date.now() - made > quietMs) rmSync(path, { force: true })
}

export function entriesOf(layer: Layer): Entry[] {
  switch (layer.kind) {
    case 'debian':
      return debianRoot(layer.packages)
    case 'busybox':
      return busybox()
    case 'files': {
      const files = Object.entries(layer.files).map(
        ([path, source]): Entry => ({ path, kind: 'file', mode: 0o755, data: readFileSync(join(root, source)) }),
      )
      return [...files, ...Object.entries(layer.links ?? {}).map(([path, target]): Entry => ({ path, kind: 'link', target }))]
    }
  }
}

function busybox(): Entry[] {
  const program = '/bin/busybox'
  const applets = execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n')
  const links = applets.filter(name => name !== 'busybox').map((name): Entry => ({ path: `/bin/${name}`, kind: 'link', target: 'busybox' }))
  return [
    { path: program, kind: 'file', mode: 0o755, data: readFileSync(program) },
    { path: '/tmp', kind: 'directory', mode: 0o1777 },
    ...links,
  ]
}

if (import.meta.main) for (const { ref, path } of await images()) console.log(`${ref}\t${path}`)
