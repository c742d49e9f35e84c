// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findCgroupRoot } from '#kernel/cgroup.ts'

const line = (type: string, directory: string) => `${type} ${directory} ${type} rw,relatime 0 0\n`

test('the root of cgroup 2 is found beside hierarchies of version 1 and views of other cgroups', () => {
  const mounts = [
    line('proc', '/proc'),
    line('cgroup', '/sys/fs/cgroup/cpu'),
    line('cgroup2', '/sys/fs/cgroup/unified'),
    line('cgroup2', '/mnt/my\\040cgroup/unified'),
  ].join('')
  assert.equal(
    findCgroupRoot(mounts, () => true),
    '/sys/fs/cgroup/unified',
  )
  assert.equal(
    findCgroupRoot(mounts, directory => directory.startsWith('/mnt')),
    '/mnt/my cgroup/unified',
  )
})

test("in a container the node's own tree counts, whatever it is to the machine", () => {
  for (const directory of ['/host/cgroup', '/host/cgroup/unified']) {
    const mounts = line('cgroup2', '/sys/fs/cgroup') + line('cgroup2', directory)
    for (const isRoot of [true, false])
      assert.equal(
        findCgroupRoot(mounts, () => isRoot),
        directory,
      )
  }
})

test('where there is none, the way to one is said', () => {
  for (const mounts of ['', line('cgroup', '/sys/fs/cgroup/cpu')])
    assert.throws(() => findCgroupRoot(mounts, () => true), { code: 'kernel-refused', message: /not mounted here: mount it/ })
  assert.throws(() => findCgroupRoot(line('cgroup2', '/sys/fs/cgroup'), () => false), { code: 'kernel-refused' })
})
