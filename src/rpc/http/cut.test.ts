// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { KernelError } from '#kernel/port.ts'
import { silent } from '#lib/log.ts'
import { fromBigInt, withPort } from '#net/ip.ts'
import { askToCut, cutPath, cutRoute, type Place } from '#rpc/http/cut.ts'
import { serveHttp } from '#rpc/http/serve.ts'

test('every place arrives, of both families and however many; what the kernel cannot is told apart from what failed', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'cut-'))
  const socket = join(directory, 's')
  const heard: Place[] = []
  let refusal: Error | undefined
  const cut = async (places: readonly Place[]) => {
    heard.push(...places)
    if (refusal !== undefined) throw refusal
    return places.length
  }
  const server = await serveHttp(`unix://${socket}`, { [cutPath]: cutRoute(cut) }, silent)
  const older = await serveHttp(`unix://${socket}.older`, {}, silent)
  try {
    const all = Array.from({ length: 450 }, (_, i) => ({
      ip: i % 2 === 0 ? fromBigInt(0x0a000000n + BigInt(i), 4) : fromBigInt((0xfd00n << 112n) + BigInt(i), 6),
      port: 1 + i,
    }))
    assert.equal(await askToCut(socket, all), undefined)
    const names = (places: readonly Place[]) => places.map(({ ip, port }) => withPort(ip, port))
    assert.deepEqual(names(heard), names(all))
    assert.equal(await askToCut(socket, []), undefined)
    refusal = new KernelError('kernel-refused', 'destroy failed', { errno: 'EOPNOTSUPP', explanation: 'without CONFIG_INET_DIAG_DESTROY' })
    assert.match((await askToCut(socket, [])) ?? '', /CONFIG_INET_DIAG_DESTROY/)
    refusal = new KernelError('kernel-worker', 'the thread ended')
    await assert.rejects(askToCut(socket, []), { code: 'cut-failed' })
    assert.match((await askToCut(`${socket}.older`, [])) ?? '', /older release/)
    await assert.rejects(askToCut(`${socket}.nobody`, []), { code: 'daemon-unreachable' })
  } finally {
    await Promise.all([server.close(), older.close()])
    await rm(directory, { recursive: true })
  }
})
