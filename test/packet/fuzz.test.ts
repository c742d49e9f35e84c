// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { dropReasons, path } from '#kernel/bpf/words.ts'
import { history } from './history.ts'
import { Machine } from './run.ts'

/** SEED=n replays one history, as far as the kernel's own chance chooses the same backends; PACKETS=n is how many there are in all. */
const replay = process.env.SEED
const wanted = Number(process.env.PACKETS ?? 15_000)
const length = 600
/** What happens at the node's own device only. */
const ofNode = [
  'nodeToPod',
  'nodeToRemote',
  'nodeToHost',
  'remoteAnswersClient',
  'hostAnswersClient',
  'service-nat-ports',
  'service-hop-limit',
]

const machine = new Machine()
after(() => machine[Symbol.dispose]())

if (replay !== undefined) {
  test(`the history of seed ${replay}`, t => t.diagnostic(JSON.stringify([...history(machine, Number(replay), length)])))
} else {
  test('whatever the packets and the maps, the programs do what the oracle says, and cut no open flow', t => {
    const base = Math.floor(Math.random() * 2 ** 30)
    const histories = Math.ceil(wanted / length)
    const fates = new Map<string, number>()
    for (let n = 0; n < histories; n++) {
      for (const [fate, count] of history(machine, base + n, length)) fates.set(fate, (fates.get(fate) ?? 0) + count)
    }
    t.diagnostic(`seeds ${base}..${base + histories - 1}: ${[...fates].map(([fate, count]) => `${fate} ${count}`).join(', ')}`)
    const never = [...Object.keys(path), ...Object.keys(dropReasons)].filter(fate => !fates.has(fate) && !ofNode.includes(fate))
    assert.deepEqual(never, [], 'chance never came by these')
  })
}
