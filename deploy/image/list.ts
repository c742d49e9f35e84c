// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { objectFile } from '../../tools/bpf/compile.ts'
import { entryPoints, koffiBinary, nodeInImage } from '../../tools/bundle.ts'
import { root } from '../../tools/components.ts'
import type { ImageConfig } from './archive.ts'

/** What is in each image: the one list behind the archives of lab and release and behind the Dockerfile. */
export interface ImageSpec extends ImageConfig {
  layers: readonly Layer[]
}

/** Layers that change seldom come first. A `file` is a path of the repository after `make build`, executable for everybody. */
export type Layer =
  | { kind: 'debian'; packages: readonly string[] }
  | { kind: 'files'; files: Readonly<Record<string, string>>; links?: Readonly<Record<string, string>> }
  | { kind: 'busybox' }

export const version: string = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version
const library = '/usr/lib/terway'
const bundles = Object.keys(entryPoints)

const labels = (title: string) => ({
  'org.opencontainers.image.title': title,
  'org.opencontainers.image.version': version,
  'org.opencontainers.image.licenses': 'Apache-2.0',
})

/** Everything that a DaemonSet or Deployment of Terway runs. No shell: `terway-cli` and `terwayd` start by their first line. */
export const terway: ImageSpec = {
  ref: `terway:${version}`,
  entrypoint: [],
  cmd: ['terway-cli', '--help'],
  env: ['PATH=/usr/local/bin:/usr/bin', 'NODE_ENV=production'],
  labels: labels('terway'),
  layers: [
    { kind: 'debian', packages: ['ca-certificates', 'libatomic1', 'libc6', 'libgcc-s1', 'libstdc++6'] },
    { kind: 'files', files: { [nodeInImage]: `node_modules/node-linux-${process.arch}/bin/node` } },
    {
      kind: 'files',
      files: {
        '/opt/terway/bin/terway': 'build/terway',
        ...Object.fromEntries(
          [...bundles.map(name => `${name}.mjs`), koffiBinary, objectFile].map(file => [`${library}/${file}`, `dist/${file}`]),
        ),
      },
      links: Object.fromEntries(
        bundles.filter(name => name !== 'terwayd-netlink').map(name => [`/usr/bin/${name}`, `${library}/${name}.mjs`]),
      ),
    },
  ],
}

/** The sandbox of every pod of the lab. */
export const pause: ImageSpec = {
  ref: 'terway-lab/pause:1',
  entrypoint: ['/pause'],
  cmd: [],
  env: [],
  labels: labels('terway-lab-pause'),
  layers: [{ kind: 'files', files: { '/pause': 'build/pause' } }],
}

/** The lab's application: an HTTP server (app.c) that answers with its client's address, busybox as the client, and a connection that beats (heartbeat.c). */
export const labApp: ImageSpec = {
  ref: 'terway-lab/app:1',
  entrypoint: ['/bin/app'],
  cmd: [],
  env: ['PATH=/bin'],
  labels: labels('terway-lab-app'),
  layers: [{ kind: 'busybox' }, { kind: 'files', files: { '/bin/app': 'build/app', '/bin/heartbeat': 'build/heartbeat' } }],
}

export const allImages: readonly ImageSpec[] = [terway, pause, labApp]
