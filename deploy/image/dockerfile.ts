// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { caBundle } from './debian.ts'
import { type ImageSpec, type Layer, terway } from './list.ts'

export const dockerfilePath = join(import.meta.dirname, 'Dockerfile')

/** The same image for a builder of containers, from the same list. It takes what `make build` made for this machine's architecture. */
export function dockerfile(spec: ImageSpec): string {
  return [
    '# Made from list.ts by dockerfile.ts; do not edit. After `make build`: docker build -f deploy/image/Dockerfile -t terway .',
    ...spec.layers.flatMap(stageOf),
    'FROM scratch',
    ...spec.layers.flatMap(copyOf),
    ...spec.env.map(variable => `ENV ${variable}`),
    ...Object.entries(spec.labels).map(([name, value]) => `LABEL ${name}=${JSON.stringify(value)}`),
    ...(spec.entrypoint.length > 0 ? [`ENTRYPOINT ${JSON.stringify(spec.entrypoint)}`] : []),
    ...(spec.cmd.length > 0 ? [`CMD ${JSON.stringify(spec.cmd)}`] : []),
    '',
  ].join('\n')
}

function stageOf(layer: Layer): string[] {
  switch (layer.kind) {
    case 'debian':
      return [
        'FROM debian:12-slim AS debian',
        'WORKDIR /debs',
        `RUN apt-get update && apt-get download ${layer.packages.join(' ')} \\`,
        '  && for deb in *.deb; do dpkg-deb -x "$deb" /root-fs; done \\',
        '  && rm -rf /root-fs/usr/share/man /root-fs/usr/share/locale /root-fs/usr/lib/*/gconv /root-fs/usr/sbin \\',
        `  && mkdir -p /root-fs/etc/ssl/certs && find /root-fs/usr/share/ca-certificates -name '*.crt' | sort | xargs cat > /root-fs${caBundle} \\`,
        '  && mkdir -m 1777 /root-fs/tmp',
      ]
    case 'files': {
      const links = Object.entries(layer.links ?? {})
      if (links.length === 0) return []
      const commands = links.map(([path, target]) => `ln -s ${target} /links${path}`)
      const directories = new Set(links.map(([path]) => `/links${path.slice(0, path.lastIndexOf('/'))}`))
      return ['FROM debian AS links', `RUN mkdir -p ${[...directories].join(' ')} && ${commands.join(' && ')}`]
    }
    case 'busybox':
      throw new Error('the lab builds its own helpers: there is no Dockerfile for them')
  }
}

function copyOf(layer: Layer): string[] {
  if (layer.kind !== 'files') return ['COPY --from=debian /root-fs /']
  const files = Object.entries(layer.files).map(([path, source]) => `COPY ${source} ${path}`)
  return [...files, ...(layer.links === undefined ? [] : ['COPY --from=links /links /'])]
}

if (import.meta.main) writeFileSync(dockerfilePath, dockerfile(terway))
