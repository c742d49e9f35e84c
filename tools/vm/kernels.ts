// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cacheDir } from '../bin.ts'
import { place } from '../debian.ts'

/** The oldest kernel that the programs are for, and the two long-term series that nodes have today. */
export const series = ['5.10', '6.1', '6.12'] as const
export type Series = (typeof series)[number]

export interface VmKernel {
  /** As `uname -r` says it: 6.1.0-56-cloud-amd64. */
  readonly release: string
  readonly image: string
  /** The directory with its modules. */
  readonly modules: string
}

/** Debian's suites with security updates: each series comes from one of them. */
const suites: Readonly<Record<Series, string>> = { '5.10': 'bullseye-security', '6.1': 'bookworm-security', '6.12': 'bookworm-security' }
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** Debian's kernel for virtual machines, the newest of its series on the mirror that this machine uses; fetched once (30 MB). */
export function kernelOf(name: Series): VmKernel {
  const directory = join(cacheDir(), 'kernels', name)
  place(directory, staging => fetchKernel(name, staging))
  const [release = ''] = readdirSync(join(directory, 'lib/modules'))
  return { release, image: join(directory, 'boot', `vmlinuz-${release}`), modules: join(directory, 'lib/modules', release, 'kernel') }
}

/** Apt with lists and sources of its own: those of the machine stay what they are. */
function fetchKernel(name: Series, staging: string): void {
  const work = mkdtempSync(join(tmpdir(), 'terway-apt-'))
  try {
    for (const d of ['lists/partial', 'cache/archives/partial']) mkdirSync(join(work, d), { recursive: true })
    writeFileSync(join(work, 'sources.list'), `deb [signed-by=${keyring}] ${securityMirror()} ${suites[name]} main\n`)
    const settings = {
      'Dir::Etc::sourcelist': join(work, 'sources.list'),
      'Dir::Etc::sourceparts': '/dev/null',
      'Dir::State::lists': join(work, 'lists'),
      'Dir::Cache': join(work, 'cache'),
      'APT::Sandbox::User': 'root',
      'APT::Architecture': 'amd64',
    }
    const options = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`])
    const apt = (...args: string[]) =>
      execFileSync(args[0] ?? '', [...options, ...args.slice(1)], { cwd: work, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    apt('apt-get', 'update', '-q')
    const found = newest(name, apt('apt-cache', 'pkgnames', 'linux-image-').split('\n'))
    if (found === undefined) throw new Error(`no kernel ${name} in ${suites[name]}`)
    apt('apt-get', 'download', '-q', found)
    const archive = readdirSync(work).find(file => file.endsWith('.deb'))
    execFileSync('dpkg-deb', ['-x', join(work, archive ?? ''), join(work, 'root')])
    for (const part of ['boot', 'lib']) renameSync(join(work, 'root', part), join(staging, part))
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** Among names of packages, such as linux-image-5.10.0-46-cloud-amd64. */
export function newest(name: Series, packages: readonly string[]): string | undefined {
  const numbers = (text: string) => (text.match(/\d+/g) ?? []).map(Number)
  const compare = (a: readonly number[], b: readonly number[]): number => {
    const at = a.findIndex((n, i) => n !== b[i])
    return at < 0 ? 0 : (a[at] ?? 0) - (b[at] ?? 0)
  }
  return packages
    .filter(p => p.startsWith(`linux-image-${name}.`) && p.endsWith('-cloud-amd64'))
    .sort((a, b) => compare(numbers(a), numbers(b)))
    .at(-1)
}

/** Where this machine gets Debian's security updates, or would get them if it did. */
function securityMirror(): string {
  const text = execFileSync('apt-get', ['indextargets', '--format', '$(REPO_URI)'], { encoding: 'utf8' })
  const all = [...new Set(text.split('\n'))].map(uri => uri.replace(/\/$/, ''))
  const main = all.find(uri => uri.endsWith('/debian'))
  const found = all.find(uri => uri.endsWith('/debian-security')) ?? (main && `${main}-security`)
  if (found === undefined) throw new Error('no mirror of Debian among the sources of apt')
  return found
}
