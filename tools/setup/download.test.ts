// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { components } from '../components.ts'
import { checksumIn, download, releaseOf } from './download.ts'

const directory = mkdtempSync(join(tmpdir(), 'terway-download-'))
const program = Buffer.from('#!/bin/true\n')
writeFileSync(join(directory, 'tool'), program)
const archive = execFileSync('tar', ['-czf', '-', '-C', directory, '--transform', 's,^,linux/,', 'tool'])
const sum = (data: Buffer) => createHash('sha256').update(data).digest('hex')
const served: Record<string, Buffer | string> = {
  '/plain': program,
  '/plain.sha256': sum(program),
  '/a.tar.gz': archive,
  '/sums': `${sum(program)}  other\n${sum(archive)}  a.tar.gz\n`,
  '/forged': 'something else',
  '/forged.sha256': `${sum(program)}  forged\n`,
}
const server = createServer((request, response) => {
  const body = served[request.url ?? '']
  response.writeHead(body === undefined ? 404 : 200).end(body)
})
let base = ''
before(async () => {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  base = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
})
after(() => {
  server.close()
  rmSync(directory, { recursive: true, force: true })
})

test('programs and archives are checked against their sums and unpacked', async () => {
  const staging = mkdtempSync(join(directory, 'staging-'))
  const files = [
    { url: `${base}/plain`, sums: `${base}/plain.sha256` },
    { url: `${base}/a.tar.gz`, sums: `${base}/sums`, members: ['linux/tool'] },
  ]
  assert.equal(await download(files, staging), null)
  assert.deepEqual(readFileSync(join(staging, 'plain')), program)
  assert.deepEqual(readFileSync(join(staging, 'tool')), program)
})

test('a file that is not what its sum says is refused and not written', async () => {
  const files = [{ url: `${base}/forged`, sums: `${base}/forged.sha256` }]
  await assert.rejects(download(files, directory), /forged has SHA-256 .* refused/)
  assert.ok(!existsSync(join(directory, 'forged')))
})

test('what cannot be reached or is not published is told, not thrown', async () => {
  assert.match((await download([{ url: `${base}/none`, sums: `${base}/none.sha256` }], directory)) ?? '', /none\.sha256 answers 404/)
  assert.match(
    (await download([{ url: 'http://127.0.0.1:1/x', sums: 'http://127.0.0.1:1/x.sha256' }], directory)) ?? '',
    /cannot be reached/,
  )
})

test('a sum is found beside its name, or alone', () => {
  const hex = 'a'.repeat(64)
  assert.equal(checksumIn(`${hex}  x.tar.gz\n`, 'x.tar.gz'), hex)
  assert.equal(checksumIn(hex, 'anything'), hex)
  assert.equal(checksumIn(`${hex}  a\n${hex}  b\n`, 'c'), null)
  assert.equal(checksumIn('<html>', 'x'), null)
})

test('a release provides every program of its component', () => {
  for (const component of components) {
    const provided = releaseOf(component).flatMap(({ url, members }) => (members ?? [url]).map(path => path.split('/').at(-1)))
    assert.deepEqual(provided.sort(), [...component.programs].sort())
  }
})
