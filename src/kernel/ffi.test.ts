// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { nameOfError, systemCall } from '#kernel/ffi.ts'

const close = systemCall('int close(int fd)')
const unlink = systemCall('int unlink(const char *path)')
const calls = 20_000

test('what a call answers is its result or its error, and stays so whatever is called afterwards', () => {
  const [bad, absent, done] = [close(-1), unlink(''), systemCall('int getpid()')()]
  assert.deepEqual([bad, absent, done].map(nameOfError), ['EBADF', 'ENOENT', ''])
  assert.equal(done, process.pid)
})

test('threads that fail in other ways at the same time, with garbage to collect, are told their own errors only', async () => {
  const code = `
    import { parentPort } from 'node:worker_threads'
    import { nameOfError, systemCall } from ${JSON.stringify(import.meta.resolve('#kernel/ffi.ts'))}
    const unlink = systemCall('int unlink(const char *path)')
    const seen = new Set()
    for (let i = 0; i < ${calls}; i++) seen.add(nameOfError(unlink('')))
    parentPort.postMessage([...seen])`
  const other = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`))
  const told = new Promise(resolve => other.once('message', resolve))
  const seen = new Set<string>()
  for (let i = 0; i < calls; i++) seen.add(nameOfError(close(-1 - Buffer.allocUnsafeSlow(4096).length)))
  assert.deepEqual([await told, [...seen]], [['ENOENT'], ['EBADF']])
})
