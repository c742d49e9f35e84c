// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Component } from '../components.ts'

/** One file of an official release and the file that holds its SHA-256. */
export interface ReleaseFile {
  url: string
  sums: string
  /** For an archive: the programs in it, by their path inside. Absent: the file is the program. */
  members?: readonly string[]
}

const arch = process.arch === 'x64' ? 'amd64' : process.arch
const firstAnswerMs = 3_000
const wholeFileMs = 600_000

/** Where the projects publish a component. */
export function releaseOf(component: Component): ReleaseFile[] {
  const plain = component.version.slice(1)
  switch (component.name) {
    case 'kubernetes': {
      const base = `https://dl.k8s.io/release/${component.version}/bin/linux/${arch}`
      const etcd = component.probes
        .find(({ program }) => program === 'etcd')
        ?.expect.split(' ')
        .at(-1)
      const etcdBase = `https://github.com/etcd-io/etcd/releases/download/v${etcd}`
      const etcdName = `etcd-v${etcd}-linux-${arch}`
      return [
        { url: `${etcdBase}/${etcdName}.tar.gz`, sums: `${etcdBase}/SHA256SUMS`, members: [`${etcdName}/etcd`] },
        ...component.programs
          .filter(program => program !== 'etcd')
          .map(program => ({ url: `${base}/${program}`, sums: `${base}/${program}.sha256` })),
      ]
    }
    case 'containerd': {
      const url = `https://github.com/containerd/containerd/releases/download/${component.version}/containerd-static-${plain}-linux-${arch}.tar.gz`
      return [{ url, sums: `${url}.sha256sum`, members: component.programs.map(program => `bin/${program}`) }]
    }
    case 'helm': {
      const url = `https://get.helm.sh/helm-${component.version}-linux-${arch}.tar.gz`
      return [{ url, sums: `${url}.sha256sum`, members: [`linux-${arch}/helm`] }]
    }
  }
}

/** The SHA-256 of `name` from a checksum file: lines of "<hex>  <name>", or the bare hex. */
export function checksumIn(text: string, name: string): string | null {
  const lines = text.trim().split('\n')
  const line = lines.find(candidate => candidate.trim().endsWith(name)) ?? (lines.length === 1 ? lines[0] : undefined)
  return /^[0-9a-f]{64}\b/.exec(line ?? '')?.[0] ?? null
}

/**
 * Downloads release files into `staging`, each checked against the project's published SHA-256 before it is written.
 * Returns null, or why it is no use: offline (known within 3 s of the first request) or not published.
 * @throws Error when a file is not what its checksum says.
 */
export async function download(files: readonly ReleaseFile[], staging: string): Promise<string | null> {
  for (const file of files) {
    const sums = await get(file.sums, firstAnswerMs)
    if (typeof sums === 'string') return sums
    const wanted = checksumIn(sums.toString('utf8'), basename(file.url))
    if (wanted === null) return `${file.sums} holds no checksum for ${basename(file.url)}`
    const body = await get(file.url, wholeFileMs)
    if (typeof body === 'string') return body
    const got = createHash('sha256').update(body).digest('hex')
    if (got !== wanted) throw new Error(`${file.url} has SHA-256 ${got}, its project publishes ${wanted}: refused`)
    unpack(file, body, staging)
  }
  return null
}

async function get(url: string, timeoutMs: number): Promise<Buffer | string> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) })
    return response.ok ? Buffer.from(await response.arrayBuffer()) : `${url} answers ${response.status}`
  } catch (e) {
    return `${new URL(url).host} cannot be reached (${e instanceof Error ? e.message : e})`
  }
}

function unpack({ url, members }: ReleaseFile, body: Buffer, staging: string): void {
  if (members === undefined) {
    const path = join(staging, basename(url))
    writeFileSync(path, body)
    chmodSync(path, 0o755)
    return
  }
  for (const member of members) {
    const depth = member.split('/').length - 1
    const args = ['-xzf', '-', '-C', staging, `--strip-components=${depth}`, '--no-same-owner', member]
    const { status, stderr } = spawnSync('tar', args, { input: body, encoding: 'utf8' })
    if (status !== 0) throw new Error(`tar cannot take ${member} out of ${url}: ${stderr}`)
  }
}
