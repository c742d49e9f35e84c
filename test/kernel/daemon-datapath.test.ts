// SPDX-License-Identifier: Apache-2.0
// needs: root
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { datapathLabel } from '#config/datapath-choice.ts'
import { openMap } from '#kernel/bpf/pins.ts'
import { index, word } from '#kernel/bpf/structs.ts'
import { control } from '#kernel/bpf/words.ts'
import { close } from '#kernel/ffi.ts'
import { lookupEntry } from '#kernel/ffi-bpf.ts'
import { nodes } from '#kube/reflect/node.ts'
import { bpfFileSystem } from '../support/bpf-fs.ts'
import { podArgs } from '../support/cni-client.ts'
import { ipsOf } from '../support/daemon-world.ts'
import { NetnsNode } from '../support/netns-node.ts'
import { nodeName } from '../support/node-world.ts'
import { until } from '../support/until.ts'

const skip = process.getuid?.() !== 0 && 'needs root'

test('a daemon with its kernel: a pod goes on over label, kill, switch file and back', { skip }, async () => {
  // Taken away after the node, whose daemon has it open.
  using files = bpfFileSystem()
  await using node = new NetnsNode(['10.0.0.1', 'fd00:1::1'], {}, 'dual')
  const pins = join(files.directory, 'terway')
  node.cluster.configure({ ip_stack: 'dual', service_cidr: '10.96.0.0/12,fd00:10:96::/108' })
  const events = (reason: string) => node.model.events.filter(e => e.reason === reason).map(e => e.message)
  const kind = () =>
    JSON.parse(existsSync(node.options.datapathMemoryPath) ? readFileSync(node.options.datapathMemoryPath, 'utf8') : '{}').kind
  await node.started({ pins })
  node.cluster.pod('web')
  const netns = node.sandbox('c-web')
  const reply = await node.call({ command: 'ADD', containerId: 'c-web', netns, args: podArgs('default', 'web', 'uid-web') })
  const addresses = ipsOf(reply)
  assert.equal(addresses.length, 2)
  const reachable = () => addresses.every(ip => node.reaches(ip))
  assert.ok(reachable())

  const present = node.model.read(nodes, nodeName)
  assert.ok(present)
  node.model.put(nodes, { ...present, metadata: { ...present.metadata, labels: { [datapathLabel]: 'datapathv2' } } })
  await until(() => kind() === 'v2' && events('DataPathSwitched').length === 1)
  assert.ok(reachable() && existsSync(pins))

  await node.kill('SIGKILL')
  assert.ok(reachable())
  await node.started({ pins })
  assert.equal(events('DataPathSwitched').length, 1)
  assert.ok(reachable())

  writeFileSync(node.options.switchPath, 'off\n')
  await until(() => mode(pins) === 0)
  const hooks = () => execFileSync('tc', ['-n', node.name, 'qdisc', 'show'], { encoding: 'utf8' })
  const joined = hooks()
  assert.match(joined, /ingress_block/)
  assert.ok(reachable())
  await node.kill('SIGKILL')
  await node.started({ pins })
  assert.deepEqual([mode(pins), hooks(), reachable()], [0, joined, true])

  writeFileSync(node.options.switchPath, '')
  await until(() => (mode(pins) ?? 0) !== 0)
  assert.deepEqual([hooks(), reachable()], [joined, true])

  writeFileSync(node.options.switchPath, 'veth\n')
  await until(() => kind() === 'veth')
  assert.deepEqual([mode(pins), reachable()], [undefined, true])
  assert.deepEqual(events('ConfigCheck'), [])
  await node.kill('SIGTERM')
})

/** The word that every program reads first; undefined without programs. */
function mode(pins: string): number | undefined {
  const map = openMap('control', pins)
  if (map === undefined) return undefined
  try {
    const value = Buffer.alloc(word.size)
    return lookupEntry(map, index.encode({ index: control.mode }), value) ? Number(word.decode(value).value) : undefined
  } finally {
    close(map)
  }
}
