// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeKernel } from '#kernel/kernel.ts'

/** A worker that does `onMessage` with the first request. */
function worker(onMessage: string): URL {
  const code = `
    import { parentPort } from 'node:worker_threads'
    parentPort.on('message', request => { ${onMessage} })
    parentPort.postMessage({ kind: 'ready', portId: 1 })`
  return new URL(`data:text/javascript,${encodeURIComponent(code)}`)
}

test('when the thread dies, what was under way fails with a code and the next call has a new thread', async () => {
  const kernel = await makeKernel({ workerUrl: worker('process.exit(3)') })
  for (let i = 0; i < 3; i++) {
    const calls = [kernel.observe([]), kernel.apply([])]
    for (const call of calls) await assert.rejects(call, { code: 'kernel-worker' })
  }
  await kernel.close()
})

test('after close every call is refused', async () => {
  const kernel = await makeKernel({ workerUrl: worker("parentPort.postMessage({ kind: 'result', id: request.id, result: [] })") })
  assert.deepEqual(await kernel.observe([]), [])
  await kernel.close()
  await assert.rejects(kernel.observe([]), { code: 'kernel-worker', message: /closed/ })
})

test('a watcher is told that changes may be lost whenever watching begins: at first, and after the death of a thread', async () => {
  const kernel = await makeKernel({
    workerUrl: worker(
      "if (request.call === 'apply') process.exit(3); else parentPort.postMessage({ kind: 'result', id: request.id, result: undefined })",
    ),
  })
  const told: unknown[] = []
  let wake = () => {}
  const stop = kernel.monitor(events => {
    told.push(...events)
    wake()
  })
  const until = async (n: number) => {
    while (told.length < n) await new Promise<void>(resolve => (wake = resolve))
  }
  await until(1)
  await assert.rejects(kernel.apply([]), { code: 'kernel-worker' })
  await until(2)
  assert.deepEqual(told, [{ kind: 'lost' }, { kind: 'lost' }])
  stop()
  await kernel.close()
})
