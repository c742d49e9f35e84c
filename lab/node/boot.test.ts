// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bootArgv, bootScript, type Machine, onNode } from './boot.ts'

const machine: Machine = {
  name: 'node1',
  dir: '/lab/x/nodes/node1',
  netns: 'terway.x.node1',
  hierarchies: [
    { mount: '/sys/fs/cgroup/cpu', version: 1, options: 'cpu' },
    { mount: '/sys/fs/cgroup/unified', version: 2, options: '' },
  ],
  programs: ['/tmp/checkout'],
}

test('a node starts in its own network namespace and dies with its first process', () => {
  const argv = bootArgv(machine).join(' ')
  assert.match(
    argv,
    /^nsenter --net=\/run\/netns\/terway\.x\.node1 -- unshare .*--pid --fork --kill-child .* sh \/lab\/x\/nodes\/node1\/boot\.sh$/,
  )
  assert.equal(onNode(42, ['ls']).join(' '), 'nsenter --target=42 --mount --uts --ipc --net --cgroup --pid -- ls')
})

test('nothing is written before the root is the overlay, and the machine itself is out of reach after it', () => {
  const lines = bootScript(machine).split('\n')
  const at = (text: string) => lines.findIndex(line => line.startsWith(text))
  assert.ok(at('mount -t overlay') < at('mkdir'))
  assert.ok(at('pivot_root') < at('umount -l /.machine') && at('umount -l /.machine') < at('echo ready'))
  for (const mount of ['mount -t sysfs', 'mount -t bpf', 'mount -t tmpfs -o mode=755 tmpfs run', 'mount --bind run/lab/boot-id'])
    assert.ok(at(mount) > 0, mount)
  assert.ok(at('mount -t tmpfs tmpfs tmp') < at('mount --bind /tmp/checkout ./tmp/checkout'), 'programs are seen below /tmp too')
  assert.ok(lines.includes('mount -t cgroup -o cpu cgroup sys/fs/cgroup/cpu'))
  assert.ok(lines.includes('mount -t cgroup2 cgroup2 sys/fs/cgroup/unified'))
})

test('on a machine with cgroup version 2 only there is one mount', () => {
  const script = bootScript({ ...machine, hierarchies: [{ mount: '/sys/fs/cgroup', version: 2, options: '' }] })
  assert.match(script, /\nmount -t cgroup2 cgroup2 sys\/fs\/cgroup\n/)
  assert.doesNotMatch(script, /tmpfs sys\/fs\/cgroup/)
})
