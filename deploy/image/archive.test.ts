// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { canonicalRef, ociArchive } from './archive.ts'
import { type Entry, tar } from './tar.ts'

const deep = `/${'directory/'.repeat(12)}file`
const entries: Entry[] = [
  { path: '/usr/bin/tool', kind: 'file', mode: 0o755, data: Buffer.from('#!/bin/true\n') },
  { path: '/bin', kind: 'link', target: 'usr/bin' },
  { path: '/tmp', kind: 'directory', mode: 0o1777 },
  { path: deep, kind: 'file', mode: 0o644, data: Buffer.alloc(700, 'x') },
]
const config = { ref: 'a/b:1', entrypoint: ['/usr/bin/tool'], cmd: [], env: [], labels: {} }

test('GNU tar reads every kind of entry, parents, long names, modes and owners', () => {
  const listing = execFileSync('tar', ['-tvf', '-', '--numeric-owner'], { input: tar(entries), encoding: 'utf8', env: { TZ: 'UTC' } })
  const lines = listing.trim().split('\n')
  assert.ok(lines.every(line => line.includes(' 0/0 ') && line.includes('1970-01-01 00:00')))
  const shown = lines.map(line => line.replace(/ +0\/0 +(\d+) 1970-01-01 00:00 /, ' $1 '))
  assert.deepEqual(
    shown.filter(line => !line.includes('directory/')),
    ['lrwxrwxrwx 0 bin -> usr/bin', 'drwxrwxrwt 0 tmp/', 'drwxr-xr-x 0 usr/', 'drwxr-xr-x 0 usr/bin/', '-rwxr-xr-x 12 usr/bin/tool'],
  )
  assert.ok(shown.includes(`-rw-r--r-- 700 ${deep.slice(1)}`))
})

test('the order of the entries does not matter, and no path may come twice', () => {
  assert.deepEqual(tar(entries), tar(entries.toReversed()))
  assert.throws(() => tar([...entries, { path: '/bin', kind: 'directory', mode: 0o755 }]), /\/bin is in the image twice/)
  assert.throws(() => tar([{ path: `/${'x'.repeat(300)}`, kind: 'directory', mode: 0o755 }]), /too long/)
})

test('the same content gives the same archive, other content another', () => {
  const again = () => ociArchive(config, [structuredClone(entries), []])
  assert.deepEqual(again(), ociArchive(config, [entries, []]))
  assert.notDeepEqual(again(), ociArchive(config, [entries]))
})

test('every blob is named by its digest, and the index leads to the image by its canonical name', () => {
  const archive = ociArchive(config, [entries])
  const read = (path: string) => execFileSync('tar', ['-xOf', '-', path], { input: archive })
  const index = JSON.parse(read('index.json').toString())
  const blob = (digest: string) => {
    const data = read(`blobs/sha256/${digest.slice(7)}`)
    assert.equal(`sha256:${createHash('sha256').update(data).digest('hex')}`, digest)
    return data
  }
  assert.equal(index.manifests[0].annotations['io.containerd.image.name'], 'docker.io/a/b:1')
  const manifest = JSON.parse(blob(index.manifests[0].digest).toString())
  const imageConfig = JSON.parse(blob(manifest.config.digest).toString())
  assert.deepEqual(imageConfig.rootfs.diff_ids, [manifest.layers[0].digest])
  assert.deepEqual(blob(manifest.layers[0].digest), tar(entries))
  assert.deepEqual(JSON.parse(read('manifest.json').toString())[0].RepoTags, ['docker.io/a/b:1'])
})

test('short names are completed as the container runtime does', () => {
  assert.equal(canonicalRef('terway:1'), 'docker.io/library/terway:1')
  assert.equal(canonicalRef('a/b:1'), 'docker.io/a/b:1')
  assert.equal(canonicalRef('host.example/b:1'), 'host.example/b:1')
  assert.equal(canonicalRef('localhost/b:1'), 'localhost/b:1')
})
