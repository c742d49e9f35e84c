// SPDX-License-Identifier: Apache-2.0
// needs: root
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { datapathLabel } from '#config/datapath-choice.ts'
import { nodes } from '#kube/reflect/node.ts'
import { podArgs } from '../support/cni-client.ts'
import { ipsOf } from '../support/daemon-world.ts'
import { NetnsNode } from '../support/netns-node.ts'
import { nodeName } from '../support/node-world.ts'
import { until } from '../support/until.ts'

const skip = process.getuid?.() !== 0 && 'needs root'

function bpfFileSystem(): Disposable & { readonly directory: string } {
  const directory = mkdtempSync(join(tmpdir(), 'terway-bpf-'))
  execFileSync('mount', ['-t', 'bpf', 'bpf', directory])
  return {
    directory,
    [Symbol.dispose]: () => {
      execFileSync('umount', ['-l', directory])
      rmdirSync(directory)
    },
  }
}

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
  await until(() => kind() === 'v2' && events('DataPathSwitched').length === 1, 20_000)
  assert.ok(reachable() && existsSync(pins))

  await node.kill('SIGKILL')
  assert.ok(reachable())
  await node.started({ pins })
  assert.equal(events('DataPathSwitched').length, 1)
  assert.ok(reachable())

  writeFileSync(node.options.switchPath, 'off\n')
  await until(() => kind() === 'veth', 20_000)
  assert.ok(reachable())
  assert.deepEqual(events('ConfigCheck'), [])
  await node.kill('SIGTERM')
})
