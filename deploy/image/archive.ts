// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { type Entry, tar } from './tar.ts'

export interface ImageConfig {
  /** As pods name it, such as "terway:0.1.0". */
  ref: string
  entrypoint: readonly string[]
  cmd: readonly string[]
  env: readonly string[]
  labels: Readonly<Record<string, string>>
}

const media = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
} as const
const epoch = '1970-01-01T00:00:00Z'

const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex')
const json = (value: unknown) => Buffer.from(JSON.stringify(value))

/** How the container runtime stores a short name: `pause:1` is `docker.io/library/pause:1`, `a.example/b:1` stays. */
export function canonicalRef(ref: string): string {
  const first = ref.split('/')[0] ?? ''
  if (!ref.includes('/')) return `docker.io/library/${ref}`
  return /[.:]/.test(first) || first === 'localhost' ? ref : `docker.io/${ref}`
}

/**
 * An OCI image layout in one tar file, with the manifest.json that `docker load` reads beside it: `ctr images import`, docker, podman and
 * skopeo all take it. Layers are not compressed: the archive is read from the same disk it was written to.
 */
export function ociArchive(config: ImageConfig, layers: readonly (readonly Entry[])[]): Buffer {
  const blobs: Entry[] = []
  const add = (mediaType: string, data: Buffer) => {
    const digest = sha256(data)
    blobs.push({ path: `/blobs/sha256/${digest}`, kind: 'file', mode: 0o644, data })
    return { mediaType, digest: `sha256:${digest}`, size: data.length }
  }
  const layerBlobs = layers.map(entries => add(media.layer, tar(entries)))
  const imageConfig = {
    created: epoch,
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { User: '0', Entrypoint: config.entrypoint, Cmd: config.cmd, Env: config.env, WorkingDir: '/', Labels: config.labels },
    rootfs: { type: 'layers', diff_ids: layerBlobs.map(blob => blob.digest) },
    history: layerBlobs.map(() => ({ created: epoch, created_by: 'deploy/image' })),
  }
  const configBlob = add(media.config, json(imageConfig))
  const manifest = { schemaVersion: 2, mediaType: media.manifest, config: configBlob, layers: layerBlobs }
  const manifestBlob = {
    ...add(media.manifest, json(manifest)),
    annotations: {
      'io.containerd.image.name': canonicalRef(config.ref),
      'org.opencontainers.image.ref.name': config.ref.split(':').at(-1),
    },
  }
  const pathOf = (blob: { digest: string }) => `blobs/sha256/${blob.digest.slice('sha256:'.length)}`
  const docker = [{ Config: pathOf(configBlob), RepoTags: [canonicalRef(config.ref)], Layers: layerBlobs.map(pathOf) }]
  const file = (path: string, value: unknown): Entry => ({ path, kind: 'file', mode: 0o644, data: json(value) })
  return tar([
    ...blobs,
    file('/oci-layout', { imageLayoutVersion: '1.0.0' }),
    file('/index.json', { schemaVersion: 2, manifests: [manifestBlob] }),
    file('/manifest.json', docker),
  ])
}
