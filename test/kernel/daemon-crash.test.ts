// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import { type CniBody, type CniReply, conf, podArgs } from '../support/cni-client.ts'
import { ipsOf } from '../support/daemon-world.ts'
import { NetnsNode } from '../support/netns-node.ts'
import { nodeName } from '../support/node-world.ts'
import { until } from '../support/until.ts'

const skip = process.getuid?.() !== 0 && 'needs root'
const source = join(import.meta.dirname, '../../src/daemon')
const files = globSync('**/*.ts', { cwd: source })
  .filter(file => !file.endsWith('.test.ts') && file !== 'crash-point.ts')
  .map(file => ({ file, lines: readFileSync(join(source, file), 'utf8').split('\n') }))

/** Every crash point that the daemon's code names. */
const points = files.flatMap(({ lines }) => lines.flatMap(line => /crashPoint\('([^']+)'\)/.exec(line)?.[1] ?? []))
/** A step whose order crash safety depends on: a commit to the ledger, a change of the kernel. */
const step = /\bbook\.commit\(|\bdatapath\.(setup|withdraw|reap|removeLeftovers)\(/i
/** Lines after a step within which its crash point must be. */
const reach = 6

/** terway's second entry of a list: the plugins before it have answered `prevResult`. */
function addBehind(node: NetnsNode, pod: string, prevResult: CniBody | undefined): Promise<CniReply> {
  const containerId = `c-${pod}`
  const config = { ...conf, again: true, prevResult }
  return node.call({ command: 'ADD', containerId, netns: node.sandbox(containerId), args: podArgs('default', pod, `uid-${pod}`), config })
}

const pairOf = (n: number): readonly [string, string] => [`10.0.0.${n}`, `fd00:1::${n}`]
const pairs = [1, 2, 3, 4, 5, 6, 7].map(pairOf)

/** What is different where pods share an ENI, and where each has one. */
interface Kind {
  readonly pods: string
  readonly make: () => NetnsNode
  /** What somebody takes from a pod: words of `ip`, for one of its addresses. */
  readonly damage: (address: string) => readonly string[]
  /** The containers that have an ENI each in the end. */
  readonly enisOf: readonly string[]
}
const kinds: readonly Kind[] = [
  {
    pods: 'one ENI for all pods',
    make: () => new NetnsNode(pairs.flat(), {}, 'dual'),
    damage: address => ['rule', 'del', 'priority', '2048', 'from', address],
    enisOf: [],
  },
  {
    pods: 'an ENI for each pod',
    make: () => new NetnsNode(pairs, {}, 'dual'),
    damage: address => ['route', 'del', address],
    enisOf: ['c-b', 'c-c2', 'c-old'],
  },
]

test('every commit and every kernel step has a crash point after it, and each name is used once', () => {
  const bare = files.flatMap(({ file, lines }) =>
    lines.flatMap((line, i) => {
      const covered = lines.slice(i, i + 1 + reach).some(l => l.includes('crashPoint('))
      return step.test(line) && !covered ? [`${file}:${i + 1}: ${line.trim()}`] : []
    }),
  )
  assert.deepEqual(bare, [])
  assert.equal(files.flatMap(({ lines }) => lines.filter(line => step.test(line))).length >= 11, true, 'steps are found')
  assert.equal(new Set(points).size, points.length)
})

/**
 * One life of a dual-stack node. A pod has its network when the ledger is lost, with a device that nobody wants beside it; then terwayd
 * is started with the point armed. Two pods come, one with other plugins around it, somebody takes something from it, the first goes, an idle pair is asked back, and
 * a third pod gets a second sandbox before the first one's DEL. terwayd is killed at the point; a new one is started, and the
 * runtime does what runtimes do: whatever was not answered with success is asked again. In the end everything must be as if
 * nothing had happened.
 */
for (const { pods, make, damage, enisOf } of kinds)
  describe(`killed at each point, the node converges: ${pods}`, { skip, concurrency: false }, () => {
    let killed = 0
    for (const point of points) {
      test(point, async () => {
        await using node = make()
        for (const pod of ['a', 'b', 'c', 'old']) node.cluster.pod(pod)
        await node.started()
        const first = ipsOf(await node.add('old'))
        await node.kill()
        node.loseLedger()
        node.ip('link', 'add', 'cali0123456789a', 'type', 'veth', 'peer', 'name', 'stray')

        const child = await node.start({ crashAt: point })
        const dead = () => child.exitCode !== null || child.signalCode !== null
        const answers = new Map<string, CniReply>()
        const steps: readonly [string, () => Promise<CniReply>][] = [
          ['ADD old again', () => node.add('old')],
          ['ADD a', () => node.add('a')],
          ['ADD b', () => node.add('b')],
          ['ADD b behind other plugins', () => addBehind(node, 'b', answers.get('ADD b')?.body)],
          ['ADD c', () => node.add('c', 'c-c1')],
          ['DEL a', () => node.del('c-a')],
          ['ADD c again', () => node.add('c', 'c-c2')],
          ['DEL c', () => node.del('c-c1')],
        ]
        const harm = () => {
          for (const ip of ipsOf(answers.get('ADD b') ?? { exit: 1, body: undefined })) {
            try {
              node.ip(ip.includes(':') ? '-6' : '-4', ...damage(ip))
            } catch {
              // Nobody has put it back yet.
            }
          }
        }
        const run = async () => {
          for (const [name, call] of steps) {
            if (answers.get(name)?.exit === 0) continue
            const reply = await call()
            answers.set(name, reply)
            if (reply.exit !== 0) return
            if (name !== 'ADD b') continue
            harm()
            for (const ip of pairOf(7)) node.cluster.address(ip, { status: 'Deleting', releaseNonce: 'n1' })
          }
        }
        const untilDead = async () => {
          if (dead()) return true
          await run()
          // The ADD behind other plugins may have put back what was damaged, before the repair came to it.
          if (!dead()) harm()
          return dead()
        }
        await until(untilDead, `terwayd to die at ${point}`)
        assert.equal(child.signalCode, 'SIGKILL')

        await node.started()
        await until(async () => {
          await run()
          return answers.size === steps.length && [...answers.values()].every(r => r.exit === 0)
        }, 'every call to succeed in the end')
        const addressesOf = (step: string) => ipsOf(answers.get(step) ?? { exit: 1, body: undefined })
        const expected = new Map([
          ['old', addressesOf('ADD old again')],
          ['b', addressesOf('ADD b')],
          ['c', addressesOf('ADD c again')],
        ])
        assert.deepEqual(expected.get('old'), first)
        const held = [...expected.values()].flat().sort()
        assert.equal(new Set(held).size, 6)
        const addresses = () => new Set(node.state().flatMap(l => /10\.0\.0\.\d+|fd00:1::\w+/.exec(l)?.[0] ?? []))
        await until(() => [...addresses()].sort().join() === held.join(), 'the kernel to have the three pods')
        await until(() => node.state().filter(l => l.startsWith('cali')).length === 3, 'three host devices')
        for (const ip of held) await until(() => node.reaches(ip), `${ip} to answer`)
        const inPods = () =>
          node
            .places()
            .filter(place => place !== 'node')
            .toSorted()
            .join()
        await until(() => inPods() === enisOf.join(), 'each ENI to be in its pod, or on the node')

        const status = () => node.model.read(nodeRuntimes, nodeName)?.status
        for (const ip of pairOf(7)) {
          await until(() => status()?.releases?.[ip]?.answer === 'acked', 'the mark to be answered')
          assert.equal(status()?.releases?.[ip]?.nonce, 'n1')
        }
        const reported = (pod: string) => [status()?.pods?.[`uid-${pod}`]?.ipv4, status()?.pods?.[`uid-${pod}`]?.ipv6].join()
        for (const [pod, ips] of expected) await until(() => reported(pod) === ips.join(), `${pod} to be reported with ${ips}`)
        assert.equal(status()?.pods?.['uid-c']?.containerID, 'c-c2')
        const gone = status()?.pods?.['uid-a']
        assert.ok(gone === undefined || gone.status.deleted !== undefined)
        killed++
      })
    }

    test('all of them', t => {
      t.diagnostic(`${killed} of ${points.length} crash points killed, each replayed to convergence`)
      assert.equal(killed, points.length)
    })
  })
