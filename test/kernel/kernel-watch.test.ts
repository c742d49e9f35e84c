// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { makeKernel } from '#kernel/kernel.ts'
import { parseIfName } from '#kernel/names.ts'
import type { KernelEvent } from '#kernel/port.ts'
import { parseCidr } from '#net/cidr.ts'
import { DatapathLab, netnsFile } from './datapath-lab.ts'

let lab: DatapathLab
before(async () => {
  lab = await DatapathLab.create('w')
})
after(() => lab.close())

class Watcher {
  readonly events: KernelEvent[] = []
  #woken = Promise.withResolvers<void>()

  readonly tell = (events: readonly KernelEvent[]) => {
    this.events.push(...events)
    this.#woken.resolve()
    this.#woken = Promise.withResolvers()
  }

  sees(priority: number): Promise<void> {
    return this.#until(e => e.kind === 'rule' && e.rule.priority === priority)
  }

  seesLink(name: string): Promise<void> {
    return this.#until(e => e.kind === 'link' && e.link.name === name)
  }

  begun(): Promise<void> {
    return this.#until(e => e.kind === 'lost')
  }

  async #until(seen: (e: KernelEvent) => boolean): Promise<void> {
    while (!this.events.some(seen)) await this.#woken.promise
  }
}

const rule = (priority: number) => ({ op: 'rule-add', ns: 'host', priority, to: parseCidr('203.0.113.9/32'), table: 254 }) as const

test("a change of somebody else's is told, none of our own is; nothing is left behind", async t => {
  const kernel = await makeKernel({ hostNetns: netnsFile(`${lab.prefix}-host`) })
  const watcher = new Watcher()
  const stop = kernel.monitor(watcher.tell)
  await watcher.begun()
  const begun = performance.now()
  const count = 20
  for (let i = 0; i < count; i++) {
    const own = await kernel.apply([rule(1000 + i)])
    assert.equal(own.failed, undefined)
    lab.run('host', `ip rule add priority ${2000 + i} to 203.0.113.10 lookup main`)
    await watcher.sees(2000 + i)
  }
  t.diagnostic(`${count} changes made and told in ${Math.round(performance.now() - begun)} ms`)
  assert.deepEqual(
    watcher.events.flatMap(e => (e.kind === 'rule' ? [e.rule.priority] : [])),
    Array.from({ length: count }, (_, i) => 2000 + i),
  )
  stop()
  await kernel.close()
})

test('the thread of deletions starts while somebody watches: nothing is missed, and what it does is not told', async () => {
  const kernel = await makeKernel({ hostNetns: netnsFile(`${lab.prefix}-host`) })
  const watcher = new Watcher()
  const stop = kernel.monitor(watcher.tell)
  await watcher.begun()
  const dev = parseIfName('own0')
  lab.run('host', `ip link add ${dev} type veth peer name peer0`)
  await watcher.seesLink(dev)
  const { failed } = await kernel.apply([rule(3000), { op: 'link-del', ns: 'host', dev }])
  assert.equal(failed, undefined)
  lab.run('host', 'ip rule add priority 3001 to 203.0.113.11 lookup main')
  await watcher.sees(3001)
  const told = watcher.events.flatMap((e): unknown[] => (e.kind === 'rule' ? [e.rule.priority] : e.kind === 'lost' ? ['lost'] : []))
  assert.deepEqual(told, ['lost', 3001])
  stop()
  await kernel.close()
})
