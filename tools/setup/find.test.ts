// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { Component } from '../components.ts'
import { containsVersion, linkFrom, linkFromPath } from './find.ts'
import { newEnough } from './go.ts'

const root = mkdtempSync(join(tmpdir(), 'terway-find-'))
after(() => rmSync(root, { recursive: true, force: true }))

const component: Component = {
  name: 'helm',
  version: 'v3.22.0',
  programs: ['one', 'two'],
  probes: ['one', 'two'].map(program => ({ program, args: ['--version'], expect: 'v3.22.0' })),
  build: { kind: 'install', packages: [], tags: '', ldflags: '' },
}

/** A directory of programs that print these versions. */
function directory(name: string, versions: Readonly<Record<string, string>>): string {
  const path = join(root, name)
  mkdirSync(path)
  for (const [program, version] of Object.entries(versions))
    writeFileSync(join(path, program), `#!/bin/sh\necho ${version}\n`, { mode: 0o755 })
  return path
}

test('programs are taken when all are there in the exact version', () => {
  const good = directory('good', { one: 'v3.22.0', two: 'v3.22.0+x' })
  assert.equal(linkFrom(component, good, directory('staging', {})), null)
  assert.equal(readlinkSync(join(root, 'staging', 'two')), join(good, 'two'))
})

test('another version or a missing program is named', () => {
  assert.equal(linkFrom(component, directory('old', { one: 'v3.22.0', two: 'v3.21.9' }), root), 'two is not v3.22.0')
  assert.equal(linkFrom(component, directory('half', { one: 'v3.22.0' }), root), 'no two')
})

test('programs may be in several directories of PATH', () => {
  const path = `${directory('p1', { one: 'v3.22.0' })}:${directory('p2', { two: 'v3.22.0' })}`
  assert.equal(linkFromPath(component, directory('staging2', {}), path), null)
  assert.equal(linkFromPath(component, root, join(root, 'p1')), 'no two')
})

test('a version that merely starts like the wanted one is another', () => {
  assert.ok(containsVersion('Kubernetes v1.34.4\n', 'v1.34.4'))
  assert.ok(!containsVersion('Kubernetes v1.34.40\n', 'v1.34.4'))
})

test('a Go is new enough from 1.26.6 on', () => {
  const versions = ['go version go1.26.6 linux/amd64', 'go version go1.27.0 linux/amd64', 'go version go2.0 linux/amd64']
  assert.ok(versions.every(newEnough))
  assert.ok(!['go version go1.26.5 linux/amd64', 'go version go1.19.8 linux/amd64', 'go version devel linux/amd64', ''].some(newEnough))
})
