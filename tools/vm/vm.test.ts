// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { cpio } from './cpio.ts'
import { newest } from './kernels.ts'

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
