// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { downloaded } from '../../tools/debian.ts'
import type { Entry } from './tar.ts'

/** Parts of Debian packages that a container without a shell has no use for. Copyright files stay: the licences ask for it. */
const unwanted = [
  /^\/usr\/share\/doc\/.+\/(?!copyright$)[^/]+$/,
  /^\/usr\/share\/(man|locale|lintian|gdb|info)\//,
  /^\/usr\/lib\/[^/]+\/gconv\//,
  /^\/usr\/sbin\//,
]
export const caBundle = '/etc/ssl/certs/ca-certificates.crt'

/** The packages extracted, trimmed, and with what their installation scripts would have made; same packages, same entries. */
export function debianRoot(packages: readonly string[]): Entry[] {
  const archives = downloaded(packages)
  const work = mkdtempSync(join(tmpdir(), 'terway-debian-'))
  try {
    for (const archive of archives) execFileSync('dpkg-deb', ['-x', archive, work])
    const files = readTree(work).filter(entry => entry.kind !== 'directory' && !unwanted.some(pattern => pattern.test(entry.path)))
    return [...files, certificates(files), ...archives.map(packageRecord), { path: '/tmp', kind: 'directory', mode: 0o1777 }]
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** The one file that TLS libraries read, as update-ca-certificates would write it. */
function certificates(files: readonly Entry[]): Entry {
  const parts = files.flatMap(entry => (entry.kind === 'file' && entry.path.endsWith('.crt') ? [entry.data.toString('utf8').trim()] : []))
  return { path: caBundle, kind: 'file', mode: 0o644, data: Buffer.from(`${parts.join('\n')}\n`) }
}

/** What image scanners read where there is no package database. */
function packageRecord(archive: string): Entry {
  const control = execFileSync('dpkg-deb', ['-f', archive])
  const name = /^Package: (.+)$/m.exec(control.toString('utf8'))?.[1]
  if (name === undefined) throw new Error(`${archive} names no package`)
  return { path: `/var/lib/dpkg/status.d/${name}`, kind: 'file', mode: 0o644, data: control }
}

function readTree(root: string, path = ''): Entry[] {
  return readdirSync(join(root, path))
    .sort()
    .flatMap((name): Entry[] => {
      const at = `${path}/${name}`
      const stat = lstatSync(join(root, at))
      if (stat.isSymbolicLink()) return [{ path: at, kind: 'link', target: readlinkSync(join(root, at)) }]
      if (stat.isDirectory()) return [{ path: at, kind: 'directory', mode: stat.mode & 0o7777 }, ...readTree(root, at)]
      return [{ path: at, kind: 'file', mode: stat.mode & 0o7777, data: readFileSync(join(root, at)) }]
    })
}
