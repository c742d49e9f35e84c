// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cutSockets } from '#datapath/v2/cut-sockets.ts'
import { type NetnsPath, parseNetnsPath } from '#kernel/names.ts'
import type { ConnectedSocket, Kernel } from '#kernel/port.ts'
import { parseIp } from '#net/ip.ts'
import { emptyNamespace } from '../../../test/support/empty-namespace.ts'

const socket = (cookie: bigint, remote: string, remotePort = 53): ConnectedSocket => ({
  ...{ ns: 'host', v6: remote.includes(':'), cookie, remote: parseIp(remote), remotePort, id: `id ${cookie}` },
})
const gone = [
  { ip: parseIp('10.0.0.7'), port: 53 },
  { ip: parseIp('fd00::7'), port: 53 },
]
const [four, six, mapped, direct] = [socket(1n, '10.0.0.7'), socket(2n, 'fd00::7'), socket(3n, '::ffff:10.0.0.7'), socket(4n, '10.0.0.7')]
const others = [socket(5n, '10.0.0.8'), socket(6n, '10.0.0.7', 54), socket(7n, 'fd00::8')]

/** Those of `named` have named a Service. */
function kernelWith(sockets: readonly ConnectedSocket[], named: readonly ConnectedSocket[]) {
  const cookies = named.map(s => Buffer.from(BigUint64Array.of(s.cookie).buffer).toString('hex'))
  const calls: string[] = []
  const kernel: Pick<Kernel, 'observe' | 'connectedSockets' | 'destroySockets'> = {
    connectedSockets: async () => {
      calls.push('list')
      return sockets
    },
    observe: async queries =>
      queries.map(({ ns, entries = [] }) => {
        const found = entries.filter(e => e.map === 'socket_peers' && cookies.includes(e.key.slice(0, 16)))
        return { ...emptyNamespace, ns, entries: found.map(e => ({ ...e, value: '' })) }
      }),
    destroySockets: async doomed => {
      calls.push(`destroy ${doomed.map(s => s.id).join(', ')}`)
      return doomed.length
    },
  }
  return { kernel, calls }
}

test('only who came to a backend that is gone by way of a Service is cut, in both families', async () => {
  const { kernel, calls } = kernelWith([four, six, mapped, direct, ...others], [four, six, mapped, ...others])
  assert.equal(await cutSockets(kernel, gone), 3)
  assert.deepEqual(calls, ['list', 'destroy id 1, id 2, id 3'])
})

test('with no backend it is a trial', async () => {
  const { kernel, calls } = kernelWith([four], [four])
  assert.equal(await cutSockets(kernel, []), 0)
  assert.deepEqual(calls, ['destroy '])
})

test('pods that are translated at their sockets are looked into as well', async () => {
  const [pod, other] = ['/run/netns/a', '/run/netns/b'].map(parseNetnsPath)
  assert.ok(pod !== undefined && other !== undefined)
  const asked: (readonly NetnsPath[])[] = []
  const { kernel, calls } = kernelWith([{ ...four, ns: pod }], [four])
  const connectedSockets: Kernel['connectedSockets'] = pods => {
    asked.push(pods)
    return kernel.connectedSockets(pods)
  }
  assert.equal(await cutSockets({ ...kernel, connectedSockets }, gone, [pod, other]), 1)
  assert.deepEqual([asked, calls], [[[pod, other]], ['list', 'destroy id 1']])
})
