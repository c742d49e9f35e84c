// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import type { CniReply } from '../support/cni-client.ts'
import { ipOf } from '../support/daemon-world.ts'
import { NetnsNode } from '../support/netns-node.ts'
import { nodeName } from '../support/node-world.ts'
import { until } from '../support/until.ts'

const skip = process.getuid?.() !== 0 && 'needs root'
const source = join(import.meta.dirname, '../../src/daemon')

/** Every crash point that the daemon's code names. */
const points = globSync('**/*.ts', { cwd: source })
  .filter(file => !file.endsWith('.test.ts') && !file.endsWith('crash-point.ts'))
  .flatMap(file => [...readFileSync(join(source, file), 'utf8').matchAll(/crashPoint\('([^']+)'\)/g)].map(m => m[1] ?? ''))

test('crash points are found, and each name is used once', () => {
  assert.ok(points.length >= 11, points.join())
  assert.equal(new Set(points).size, points.length)
})

/**
 * One life of a node: two pods come, the first goes, an idle address is asked back, and a third pod gets a second
 * sandbox. terwayd is killed at the point; a new one is started, and the runtime does what runtimes do: whatever was not
 * answered with success is asked again. In the end everything must be as if nothing had happened.
 */
describe('killed at each point, the node converges', { skip, concurrency: false }, () => {
  for (const point of points) {
    test(point, { timeout: 60_000 }, async () => {
      await using node = new NetnsNode(['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5'])
      for (const name of ['a', 'b', 'c']) node.cluster.pod(name)
      const child = await node.start({ crashAt: point })
      const dead = () => child.exitCode !== null || child.signalCode !== null
      const answers = new Map<string, CniReply>()
      const steps: readonly [string, () => Promise<CniReply>][] = [
        ['ADD a', () => node.add('a')],
        ['ADD b', () => node.add('b')],
        ['ADD c', () => node.add('c', 'c-c1')],
        ['DEL a', () => node.del('c-a')],
        ['DEL c', () => node.del('c-c1')],
        ['ADD c again', () => node.add('c', 'c-c2')],
      ]
      const run = async () => {
        for (const [name, step] of steps) {
          if (answers.get(name)?.exit === 0) continue
          const reply = await step()
          answers.set(name, reply)
          if (name === 'ADD b') node.cluster.address('10.0.0.5', { status: 'Deleting', releaseNonce: 'n1' })
          if (reply.exit !== 0) return
        }
      }
      await run()
      await until(dead, 10_000, `terwayd to die at ${point}`)
      assert.equal(child.signalCode, 'SIGKILL')

      await node.started()
      await until(
        async () => {
          await run()
          return answers.size === steps.length && [...answers.values()].every(r => r.exit === 0)
        },
        20_000,
        'every call to succeed in the end',
      )
      const expected = new Map([
        ['b', ipOf(answers.get('ADD b') ?? { exit: 1, body: undefined })],
        ['c', ipOf(answers.get('ADD c again') ?? { exit: 1, body: undefined })],
      ])
      assert.equal(new Set(expected.values()).size, 2)
      const ours = () => node.state().filter(l => /\d+\.\d+\.\d+\.\d+/.test(l))
      const addresses = () => new Set(ours().flatMap(l => /(10\.0\.0\.\d+)/.exec(l)?.[1] ?? []))
      await until(() => [...addresses()].sort().join() === [...expected.values()].sort().join(), 5_000, 'the kernel to have the two pods')
      await until(() => node.state().filter(l => l.startsWith('cali')).length === 2, 5_000, 'two host devices')
      for (const ip of expected.values()) assert.ok(node.reaches(ip), ip)

      const status = () => node.model.read(nodeRuntimes, nodeName)?.status
      await until(() => status()?.releases?.['10.0.0.5']?.answer === 'acked', 5_000, 'the mark to be answered')
      assert.equal(status()?.releases?.['10.0.0.5']?.nonce, 'n1')
      for (const [pod, ip] of expected)
        await until(() => status()?.pods?.[`uid-${pod}`]?.ipv4 === ip, 5_000, `${pod} to be reported with ${ip}`)
      assert.equal(status()?.pods?.['uid-c']?.containerID, 'c-c2')
      const gone = status()?.pods?.['uid-a']
      assert.ok(gone === undefined || gone.status.deleted !== undefined)
    })
  }
})
