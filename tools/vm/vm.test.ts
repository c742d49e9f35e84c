// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { cpio } from './cpio.ts'
import { newest } from './kernels.ts'
import { runVm } from './run.ts'

test('the newest kernel of a series is that with the highest numbers, not the last by name', () => {
  const packages = [
    '5.10.0-9-cloud-amd64',
    '5.10.0-46-cloud-amd64',
    '5.10.0-46-amd64',
    '5.10.0-50-cloud-amd64-unsigned',
    '5.1.7-cloud-amd64',
  ]
  const names = packages.map(p => `linux-image-${p}`)
  assert.equal(newest('5.10', names), 'linux-image-5.10.0-46-cloud-amd64')
  assert.equal(newest('6.1', names), undefined)
  assert.equal(
    newest('6.12', ['linux-image-6.12.9+deb12-cloud-amd64', 'linux-image-6.12.117+deb12-cloud-amd64']),
    'linux-image-6.12.117+deb12-cloud-amd64',
  )
})

test('busybox reads every kind of entry of an archive', () => {
  const archive = cpio([
    { path: '/a', kind: 'directory', mode: 0o755 },
    { path: '/a/file', kind: 'file', mode: 0o644, data: Buffer.from('hello') },
    { path: '/a/link', kind: 'link', target: 'file' },
  ])
  const listing = execFileSync('/bin/busybox', ['cpio', '-itv'], { input: archive, encoding: 'utf8' })
  const shown = listing.split('\n').map(line => line.replace(/ +0\/0 +(\d+) 1970-\S+ \S+ /, ' $1 '))
  assert.deepEqual(shown, ['drwxr-xr-x 0 a', '-rw-r--r-- 5 a/file', 'lrwxrwxrwx 0 a/link -> file', ''])
})

/** In the place of the emulator: a machine that comes up at its second boot. */
const emulator = `#!/bin/sh
for word; do case $word in file:*/console) console=\${word#file:};; file:*/output) output=\${word#file:};; esac; done
[ -e "$output" ] && printf 'begin\nhello\nexit 3\n' >"$output" || : >"$output"
echo 'Kernel panic' >>"$console"
`

test('a machine that panics before its script begins is started again, one that comes up is not', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'terway-emulator-'))
  const { PATH } = process.env
  t.after(() => {
    process.env.PATH = PATH
    rmSync(directory, { recursive: true })
  })
  writeFileSync(join(directory, 'qemu-system-x86_64'), emulator, { mode: 0o755 })
  process.env.PATH = `${directory}:${PATH}`
  const ran = await runVm(
    { release: '6.1', image: 'vmlinuz', modules: directory },
    { programs: [], files: {}, modules: [], script: 'true' },
    60,
  )
  assert.deepEqual(ran, { code: 3, output: 'hello\n', console: 'Kernel panic\nKernel panic\n', boots: 2 })
})
